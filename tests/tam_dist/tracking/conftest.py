from __future__ import annotations

import pytest
import torch

from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import XMem


@pytest.fixture(scope="session")
def network() -> XMem:
    """The embedded model's architecture with random weights: fast, and every bit of its masks depends on all of its state."""
    torch.manual_seed(7)
    return XMem(SMALL).eval()

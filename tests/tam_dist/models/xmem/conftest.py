"""The networks of random weights that the golden vectors were made with, and access to the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from tam_dist.models.xmem.network import XMem
from tests.golden.cases import HERE, read_arrays
from tests.golden.weights import TINY, Widths, make_weights


@dataclass(frozen=True, eq=False)
class Golden:
    """One set of vectors and the network they are of."""

    folder: Path
    network: XMem

    def load(self, name: str) -> dict[str, np.ndarray]:
        return read_arrays(name, self.folder)


@pytest.fixture(scope="session", params=["reference", "official"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """Vectors by the restatement in ``tests/golden``, in tiny widths; and by the official code, where they are at hand."""
    if request.param == "reference":
        network = XMem.from_official(make_weights(TINY)).requires_grad_(False)
        return Golden(HERE, network)
    folder = request.getfixturevalue("shared_dir") / "golden" / "xmem"
    return Golden(folder, request.getfixturevalue("official_network"))


@pytest.fixture(scope="session")
def official_state() -> dict[str, Tensor]:
    """A state dict with the keys and shapes of an official checkpoint."""
    return make_weights(Widths())


@pytest.fixture(scope="session")
def official_network(official_state: dict[str, Tensor]) -> XMem:
    return XMem.from_official(official_state).requires_grad_(False)

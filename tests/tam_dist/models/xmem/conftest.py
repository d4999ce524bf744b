"""The network of random weights that the golden vectors were made with, and access to the vectors."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tam_dist.models.xmem.network import XMem

GAINS = (
    ("key_proj.key_proj", 0.4),
    ("key_proj.d_proj", 0.4),
    ("decoder.pred", 1.2),
    ("skip_conv", 0.3),
    (".downsample.weight", 0.7),
    ("conv3.weight", 0.3),
)


def make_weight(key: str, shape: list[int]) -> np.ndarray:
    """One tensor of the random network; a function of its key and shape alone."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_mean"):
        weight = 0.05 * noise
    elif key.endswith("running_var"):
        weight = np.exp(0.1 * noise)
    elif key == "decoder.pred.bias":
        weight = np.full(shape, -1.0)
    elif key.endswith("bias"):
        weight = 0.05 * noise
    elif len(shape) == 1:
        weight = 1 + 0.1 * noise
    else:
        default = 0.3 if key.endswith("conv2.weight") and not key.startswith("key_encoder") else 1.0
        gain = next((g for part, g in GAINS if part in key), default)
        weight = gain * np.sqrt(2.0 / np.prod(shape[1:])) * noise
        if key == "value_encoder.conv1.weight":
            weight[:, 3:] *= 12
        if "fuser.block1" in key:
            weight[:, :1024] *= 0.3
            weight[:, 1024:] *= 1.5
    return weight.astype(np.float32)


@pytest.fixture(scope="session")
def golden_dir(shared_dir: Path) -> Path:
    return shared_dir / "golden" / "xmem"


@pytest.fixture(scope="session")
def official_state(golden_dir: Path) -> dict[str, Tensor]:
    """A state dict with the keys and shapes of an official checkpoint."""
    shapes = json.loads((golden_dir / "state-dict.json").read_text())
    return {key: torch.from_numpy(make_weight(key, shape)) for key, shape in shapes.items()}


@pytest.fixture(scope="session")
def official_network(official_state: dict[str, Tensor]) -> XMem:
    return XMem.from_official(official_state).requires_grad_(False)

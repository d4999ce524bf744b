"""Weights for projects kept from earlier versions: too large to keep, so made from a generator whose stream is frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tam_dist.models.sam.build import SmallSamConfig, build_small_sam
from tam_dist.models.sam.weights import save_sam
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import save_network


def write_weights(folder: Path) -> list[str]:
    """Save both models into ``folder``; returns the settings that use them."""
    network = XMem(SMALL)
    _fill(network, 1)
    save_network(network, folder / "xmem.safetensors")
    config = SmallSamConfig(image_size=64, embed_dim=32, neck_blocks=1, transformer_mlp_dim=64, iou_hidden_dim=32)
    sam = build_small_sam(config)
    _fill(sam, 2)
    save_sam(sam, config, folder / "sam.safetensors")
    return [f"models.xmem={folder}/xmem.safetensors", f"models.sam={folder}/sam.safetensors"]


def _fill(model: torch.nn.Module, seed: int) -> None:
    """``RandomState``: the only generator of NumPy's that promises the same numbers in every version."""
    random = np.random.RandomState(seed)
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        if tensor.dim() > 1:
            fan_in = max(1, tensor[0].numel())
            values = random.uniform(-1, 1, tuple(tensor.shape)) * np.sqrt(3 / fan_in)
            tensor.data.copy_(torch.from_numpy(values.astype(np.float32)))
        elif tensor.is_floating_point():
            tensor.data.fill_(1.0 if name.endswith(("weight", "running_var")) else 0.0)

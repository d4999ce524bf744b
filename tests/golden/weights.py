"""Weights of any width in the layout of official XMem checkpoints, which every machine can make for itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Widths:
    """The defaults are official XMem's. The trunks, a ResNet-50 and a ResNet-18 without their last stages, are always whole."""

    key: int = 64
    value: int = 512
    hidden: int = 64
    g16: int = 512
    g8: int = 256
    g4: int = 256
    update: int = 256


#: What the vectors of this folder were made with.
TINY = Widths(key=16, value=32, hidden=8, g16=32, g8=16, g4=16, update=16)

_Stages = tuple[tuple[str, int, int], ...]  # name, width, blocks
_F16, _F8, _F4 = 1024, 512, 256
_GAINS = (
    ("key_proj.key_proj", 0.4),
    ("key_proj.d_proj", 0.4),
    ("decoder.pred", 1.2),
    ("skip_conv", 0.3),
    (".downsample.weight", 0.7),
    ("conv3.weight", 0.3),
)


def make_weights(widths: Widths) -> dict[str, Tensor]:
    """A state dict of random weights, whose activations stay in range and whose masks cover all objects."""
    return {name: torch.from_numpy(make_weight(name, shape)) for name, shape in layout(widths).items()}


def make_weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
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
        gain = next((g for part, g in _GAINS if part in key), default)
        weight = gain * np.sqrt(2.0 / np.prod(shape[1:])) * noise
        if key == "value_encoder.conv1.weight":
            weight[:, 3:] *= 12
        if "fuser.block1" in key:
            weight[:, :_F16] *= 0.3
            weight[:, _F16:] *= 1.5
    return weight.astype(np.float32)


def layout(widths: Widths) -> Shapes:
    """Names and shapes of a checkpoint."""
    shapes = dict(_trunk("key_encoder", 3, (("res2", 64, 3), ("layer2", 128, 4), ("layer3", 256, 6)), bottleneck=True))
    shapes |= _trunk("value_encoder", 5, (("layer1", 64, 2), ("layer2", 128, 2), ("layer3", 256, 2)), bottleneck=False)
    for name, out in (("key_proj", widths.key), ("d_proj", 1), ("e_proj", widths.key)):
        shapes |= _conv(f"key_proj.{name}", out, _F16, 3)
    shapes |= _fuser("value_encoder.fuser", _F16 + 256, widths.value)
    shapes |= _conv("value_encoder.hidden_reinforce.transform", 3 * widths.hidden, widths.value + widths.hidden, 3)
    shapes |= _fuser("decoder.fuser", _F16 + widths.value + widths.hidden, widths.g16)
    for name, width in (("g16_conv", widths.g16), ("g8_conv", widths.g8), ("g4_conv", widths.g4 + 1)):
        shapes |= _conv(f"decoder.hidden_update.{name}", widths.update, width, 1)
    shapes |= _conv("decoder.hidden_update.transform", 3 * widths.hidden, widths.update + widths.hidden, 3)
    for name, skip, width, out in (("up_16_8", _F8, widths.g16, widths.g8), ("up_8_4", _F4, widths.g8, widths.g4)):
        shapes |= _conv(f"decoder.{name}.skip_conv", width, skip, 3)
        shapes |= _residual(f"decoder.{name}.out_conv", width, out)
    return shapes | _conv("decoder.pred", 1, widths.g4, 3)


def _conv(name: str, out: int, width: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (out, width, kernel, kernel), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Shapes:
    parts = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return parts | {f"{name}.num_batches_tracked": ()}


def _residual(name: str, width: int, out: int) -> Shapes:
    shapes = _conv(f"{name}.conv1", out, width, 3) | _conv(f"{name}.conv2", out, out, 3)
    return shapes if width == out else shapes | _conv(f"{name}.downsample", out, width, 3)


def _fuser(name: str, width: int, out: int) -> Shapes:
    gate, narrow = f"{name}.attention.ChannelGate.mlp", out // 16
    attention = {f"{gate}.1.weight": (narrow, out), f"{gate}.1.bias": (narrow,)}
    attention |= {f"{gate}.3.weight": (out, narrow), f"{gate}.3.bias": (out,)}
    attention |= _conv(f"{name}.attention.SpatialGate.spatial.conv", 1, 2, 7)
    return _residual(f"{name}.block1", width, out) | attention | _residual(f"{name}.block2", out, out)


def _trunk(
    name: str, channels: int, stages: tuple[tuple[str, int, int], ...], *, bottleneck: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.conv1.weight", (64, channels, 7, 7)
    yield from _norm(f"{name}.bn1", 64).items()
    width = 64
    for stage, inner, blocks in stages:
        out = 4 * inner if bottleneck else inner
        for number in range(blocks):
            block = f"{name}.{stage}.{number}"
            kernels = ((1, inner), (3, inner), (1, out)) if bottleneck else ((3, inner), (3, out))
            before = width
            for position, (kernel, after) in enumerate(kernels, 1):
                yield f"{block}.conv{position}.weight", (after, before, kernel, kernel)
                yield from _norm(f"{block}.bn{position}", after).items()
                before = after
            if number == 0 and width != out:
                yield f"{block}.downsample.0.weight", (out, width, 1, 1)
                yield from _norm(f"{block}.downsample.1", out).items()
            width = out

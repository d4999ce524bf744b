"""EfficientNet-Lite0's feature extractor: the trunk of both small embedded models.

The architecture is Google's (EfficientNet-Lite: EfficientNet-B0 without squeeze-and-excitation, ReLU6 for swish, fixed
stem), cut off before its last block and its classifier. Its batch normalisation never learns here: it is a fixed scale
of each convolution's weights, so that what is trained or read is always the same function of one image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (repeats, kernel, stride, expansion, output channels) of each stage; "EfficientNet", Tan & Le 2019, table 1, less the last.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
_STEM = 32


class LiteFeatures(NamedTuple):
    """Feature maps float (B, C, ceil(H / s), ceil(W / s)) at stride s with C = 24, 40, 112, 192 channels."""

    f4: Tensor
    f8: Tensor
    f16: Tensor
    f32: Tensor


class ScaledConv2d(nn.Conv2d):
    """A convolution without bias and the frozen batch normalisation behind it: ``conv(x, weight * scale) + shift``.

    Padding is TensorFlow's "SAME", which the published weights were trained with: an even input of a layer of stride 2 (there
    is no other but 1) gets a row and a column less at the top and left; symmetric padding shifts every feature by half a pixel.
    """

    scale: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
        self.register_buffer("scale", torch.ones(out_channels))
        self.shift = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None, None]
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = (kernel - 1) // 2
        if stride == 2:
            # Padding the frame's largest features took a seventh of the encoder's time; a row and a column of zeros before
            # the weights of an even side shift them as well, and the convolution itself pads both sides alike.
            weight = F.pad(weight, (1 - x.shape[-1] % 2, 0, 1 - x.shape[-2] % 2, 0))
        if self.groups > 1 and x.device.type == "cpu" and torch.is_grad_enabled():
            # On CPUs the backward pass of a depthwise convolution is three times slower in bfloat16 than in float32.
            with torch.autocast("cpu", enabled=False):
                return F.conv2d(x.float(), weight, self.shift, stride, padding, groups=self.groups)
        return F.conv2d(x, weight, self.shift, stride, padding, groups=self.groups)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand by 1x1, filter each channel, project by 1x1; a skip where shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = ScaledConv2d(in_channels, hidden) if expansion > 1 else None
        self.depthwise = ScaledConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ScaledConv2d(hidden, out_channels)
        self.skip = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.skip else y


class LiteTrunk(nn.Module):
    """Image to features at strides 4, 8, 16 and 32; 2.3 million parameters.

    Built with random weights; ``tam_dist.training.trunk.load_imagenet_trunk`` fills in those trained on ImageNet, and a
    trained model's file brings its own. Nothing in it depends on train or eval mode.
    """

    channels = (24, 40, 112, 192)
    pixel_mean = (123.675, 116.28, 103.53)
    pixel_std = (58.395, 57.12, 57.375)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ScaledConv2d(3, _STEM, 3, 2)
        self.stages = nn.ModuleList()
        channels = _STEM
        for repeats, kernel, stride, expansion, out_channels in _STAGES:
            stage = nn.Sequential()
            for repeat in range(repeats):
                stage.append(InvertedResidual(channels, out_channels, kernel, stride if repeat == 0 else 1, expansion))
                channels = out_channels
            self.stages.append(stage)

    def blocks(self) -> list[InvertedResidual]:
        """Every block, from the image to the coarsest features."""
        return [module for module in self.modules() if isinstance(module, InvertedResidual)]

    def forward(self, x: Tensor) -> LiteFeatures:
        """``x``: float (B, 3, H, W) RGB, normalised: ``(pixels_0_to_255 - pixel_mean) / pixel_std``."""
        x = F.relu6(self.stem(x), inplace=True)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return LiteFeatures(outputs[1], outputs[2], outputs[4], outputs[5])

"""The small SAM's image encoder: EfficientNet-Lite0's features at four strides, brought together at stride 16."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tam_dist.models.lite import LiteFeatures, LiteTrunk


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (B, C, H, W), as in SAM's neck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class NeckBlock(nn.Module):
    """Residual pair of 3x3 convolutions; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.gelu(self.conv1(self.norm(x))))
        return out


class LiteNeck(nn.Module):
    """Features at strides 4 to 32 to one embedding at stride 16.

    SAM's mask decoder upscales the embedding fourfold without any skip from the image, so the fine strides are packed
    into the embedding's channels by strided convolutions: edges survive to the masks' resolution.
    """

    def __init__(self, embed_dim: int, blocks: int) -> None:
        super().__init__()
        c4, c8, c16, c32 = LiteTrunk.channels
        half = embed_dim // 2
        self.from4 = nn.Conv2d(c4, half, 4, stride=4)
        self.from8 = nn.Conv2d(c8, half, 2, stride=2)
        self.from16 = nn.Conv2d(c16, embed_dim, 1)
        self.from32 = nn.Conv2d(c32, embed_dim, 1)
        self.merge = nn.Conv2d(embed_dim * 2, embed_dim, 1)
        self.blocks = nn.Sequential(*(NeckBlock(embed_dim) for _ in range(blocks)))
        self.norm = ChannelNorm(embed_dim)

    def forward(self, features: LiteFeatures) -> Tensor:
        coarse = F.interpolate(self.from32(features.f32), features.f16.shape[-2:], mode="bilinear")
        x = torch.cat((self.from4(features.f4), self.from8(features.f8), self.from16(features.f16) + coarse), dim=1)
        out: Tensor = self.norm(self.blocks(self.merge(F.gelu(x))))
        return out


class LiteImageEncoder(nn.Module):
    """Drop-in for SAM's ViT: ``img_size`` and ``forward`` are what ``segment_anything``'s ``Sam`` uses of it.

    ``img_size``: side of the padded square input in pixels, a multiple of 32.
    """

    stride = 16

    def __init__(self, img_size: int, embed_dim: int, neck_blocks: int) -> None:
        super().__init__()
        self.img_size = img_size
        self.trunk = LiteTrunk()
        self.neck = LiteNeck(embed_dim, neck_blocks)

    def forward(self, x: Tensor) -> Tensor:
        """float (B, 3, img_size, img_size), normalised, to float (B, embed_dim, img_size / 16, img_size / 16)."""
        out: Tensor = self.neck(self.trunk(x))
        return out

"""The residual trunks of official XMem, with the parameter names of its checkpoints. Batch norms are never trained."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (ResNet-18)."""

    expansion = 1

    def __init__(self, in_dim: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_dim, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions (ResNet-50); the stride sits on the 3x3."""

    expansion = 4

    def __init__(self, in_dim: int, width: int, stride: int) -> None:
        super().__init__()
        out_dim = width * self.expansion
        self.conv1 = nn.Conv2d(in_dim, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_dim, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_dim)
        self.downsample = _shortcut(in_dim, out_dim, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50Trunk(nn.Module):
    """ResNet-50 without its last stage: RGB (B, 3, H, W) to features at strides 16 (1024), 8 (512) and 4 (256)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.res2 = _stage(Bottleneck, 64, 64, blocks=3, stride=1)
        self.layer2 = _stage(Bottleneck, 256, 128, blocks=4, stride=2)
        self.layer3 = _stage(Bottleneck, 512, 256, blocks=6, stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        f4 = self.res2(x)
        f8 = self.layer2(f4)
        return self.layer3(f8), f8, f4


def resnet18_stages() -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """The three stages of XMem's value encoder: 64, 128 and 256 channels at strides 4, 8 and 16."""
    return (
        _stage(BasicBlock, 64, 64, blocks=2, stride=1),
        _stage(BasicBlock, 64, 128, blocks=2, stride=2),
        _stage(BasicBlock, 128, 256, blocks=2, stride=2),
    )


def _stage(block: type[BasicBlock | Bottleneck], in_dim: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    out_dim = width * block.expansion
    return nn.Sequential(block(in_dim, width, stride), *(block(out_dim, width, 1) for _ in range(blocks - 1)))


def _shortcut(in_dim: int, out_dim: int, stride: int) -> nn.Sequential | None:
    if in_dim == out_dim and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(in_dim, out_dim, 1, stride, bias=False), nn.BatchNorm2d(out_dim))

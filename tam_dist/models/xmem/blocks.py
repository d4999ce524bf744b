"""Building blocks of XMem's value encoder and decoder, with the parameter names of official checkpoints.

Tensors that belong to one object each have the objects folded into the batch: (B·n, C, h, w), frame-major. Frame features
are (B, C, h, w) and are shared by the n objects of their frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def per_object(shared: Tensor, count: int) -> Tensor:
    """(B, C, h, w) to (B·count, C, h, w), each frame repeated for its objects."""
    if count == 1:
        return shared
    return shared.unsqueeze(1).expand(-1, count, -1, -1, -1).flatten(0, 1)


class ResidualBlock(nn.Module):
    """Pre-activation residual block without normalisation; a convolution adapts the shortcut where the width changes."""

    def __init__(self, in_dim: int, out_dim: int, shortcut_kernel: int = 3) -> None:
        super().__init__()
        self.downsample: nn.Conv2d | None = None
        if in_dim != out_dim:
            self.downsample = nn.Conv2d(in_dim, out_dim, shortcut_kernel, padding=shortcut_kernel // 2)
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, padding=1)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.relu(self.conv1(F.relu(x))))
        return y + (x if self.downsample is None else self.downsample(x))

    def forward_split(self, shared: Tensor, own: Tensor) -> Tensor:
        """``forward`` of [shared, own] concatenated along channels, with the shared part computed once per frame.

        In official XMem 1024 of 1600 input channels are shared, so each object after the first costs about a third.
        ``shared`` (B, Cs, h, w), ``own`` (B·n, Co, h, w).
        """
        count = own.shape[0] // shared.shape[0]
        if count == 1 or self.downsample is None:
            return self.forward(torch.cat([per_object(shared, count), own], 1))
        y: Tensor = self.conv2(F.relu(_split_convolution(self.conv1, F.relu(shared), F.relu(own), count)))
        return y + _split_convolution(self.downsample, shared, own, count)


def _split_convolution(conv: nn.Conv2d, shared: Tensor, own: Tensor, count: int) -> Tensor:
    width = shared.shape[1]
    once = F.conv2d(shared, conv.weight[:, :width], conv.bias, padding=conv.padding)
    return F.conv2d(own, conv.weight[:, width:], padding=conv.padding) + per_object(once, count)


class ChannelGate(nn.Module):
    """One factor per channel, from its mean and its maximum over the frame."""

    def __init__(self, dim: int, reduction: int = 16) -> None:
        super().__init__()
        narrow = dim // reduction
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(dim, narrow), nn.ReLU(), nn.Linear(narrow, dim))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return x * torch.sigmoid(weight)[:, :, None, None]


class _SpatialConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)


class SpatialGate(nn.Module):
    """One factor per position, from the maximum and the mean over channels, in that order."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = _SpatialConvolution()

    def forward(self, x: Tensor) -> Tensor:
        summary = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial.conv(summary))


class Attention(nn.Module):
    """CBAM (Woo et al. 2018): a channel gate, then a spatial gate."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ChannelGate = ChannelGate(dim)
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = self.SpatialGate(self.ChannelGate(x))
        return gated


class FeatureFusion(nn.Module):
    """Frame features (B, Cs, h, w) and per-object features (B·n, Co, h, w) to (B·n, out_dim, h, w)."""

    def __init__(self, shared_dim: int, own_dim: int, out_dim: int, shortcut_kernel: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(shared_dim + own_dim, out_dim, shortcut_kernel)
        self.attention = Attention(out_dim)
        self.block2 = ResidualBlock(out_dim, out_dim)

    def forward(self, shared: Tensor, own: Tensor) -> Tensor:
        g = self.block1.forward_split(shared, own)
        fused: Tensor = self.block2(g + self.attention(g))
        return fused


class UpsampleBlock(nn.Module):
    """Decoder features to twice the resolution, with the frame's features of that level added."""

    def __init__(self, skip_dim: int, in_dim: int, out_dim: int, kernel: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_dim, in_dim, kernel, padding=kernel // 2)
        self.out_conv = ResidualBlock(in_dim, out_dim, kernel)

    def forward(self, skip: Tensor, g: Tensor) -> Tensor:
        skip = self.skip_conv(skip)
        larger = F.interpolate(g, scale_factor=2.0, mode="bilinear", align_corners=False)
        out: Tensor = self.out_conv(larger + per_object(skip, g.shape[0] // skip.shape[0]))
        return out


class GatedUpdate(nn.Module):
    """XMem's recurrent cell. Not a standard GRU: the forget gate multiplies the carried state and the candidate does not
    see its outcome; h' = f·h·(1 - u) + u·c.
    """

    def __init__(self, in_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.transform = nn.Conv2d(in_dim + hidden_dim, 3 * hidden_dim, 3, padding=1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        forget, update, candidate = self.transform(torch.cat([x, hidden], 1)).float().chunk(3, 1)
        update = torch.sigmoid(update)
        return torch.sigmoid(forget) * hidden * (1 - update) + update * torch.tanh(candidate)


class DecoderUpdate(GatedUpdate):
    """Updates the hidden state from the decoder's three levels, the finest with its raw logits as one more channel."""

    def __init__(self, g_dims: tuple[int, int, int], update_dim: int, hidden_dim: int) -> None:
        super().__init__(update_dim, hidden_dim)
        g16, g8, g4 = g_dims
        self.g16_conv = nn.Conv2d(g16, update_dim, 1)
        self.g8_conv = nn.Conv2d(g8, update_dim, 1)
        self.g4_conv = nn.Conv2d(g4 + 1, update_dim, 1)

    def merge(self, g16: Tensor, g8: Tensor, g4: Tensor) -> Tensor:
        """The three levels (the finest with logits appended) summed at stride 16."""
        summed: Tensor = (
            self.g16_conv(g16)
            + self.g8_conv(F.interpolate(g8, scale_factor=1 / 2, mode="area"))
            + self.g4_conv(F.interpolate(g4, scale_factor=1 / 4, mode="area"))
        )
        return summed

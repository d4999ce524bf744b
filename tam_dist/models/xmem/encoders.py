"""What XMem computes from a frame: features and keys once, a value for each object."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tam_dist.models.lite import LiteTrunk
from tam_dist.models.xmem.blocks import FeatureFusion, GatedUpdate, per_object
from tam_dist.models.xmem.config import XMemConfig
from tam_dist.models.xmem.resnet import ResNet50Trunk, resnet18_stages


class LiteKeyEncoder(nn.Module):
    """EfficientNet-Lite0 features at strides 16, 8 and 4; stride 32 is folded into stride 16 for its wider view."""

    def __init__(self, config: XMemConfig) -> None:
        super().__init__()
        self.trunk = LiteTrunk()
        self.lateral16 = nn.Conv2d(112, config.f16_dim, 1)
        self.lateral32 = nn.Conv2d(192, config.f16_dim, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        f4, f8, s16, s32 = self.trunk(x)
        coarse = F.interpolate(self.lateral32(s32), size=s16.shape[-2:], mode="bilinear", align_corners=False)
        return self.lateral16(s16) + coarse, f8, f4


def build_key_encoder(config: XMemConfig) -> nn.Module:
    """RGB normalised (B, 3, H, W) to (f16, f8, f4)."""
    return LiteKeyEncoder(config) if config.backbone == "lite0" else ResNet50Trunk()


class KeyProjection(nn.Module):
    """Stride-16 features to key (Ck), shrinkage (1) and selection (Ck); see paper sections 3.2 and 3.3."""

    def __init__(self, config: XMemConfig) -> None:
        super().__init__()
        self.key_proj = nn.Conv2d(config.f16_dim, config.key_dim, 3, padding=1)
        self.d_proj = nn.Conv2d(config.f16_dim, 1, 3, padding=1)
        self.e_proj = nn.Conv2d(config.f16_dim, config.key_dim, 3, padding=1)
        self._bounded = config.bounded_matching
        self._key_scale = config.key_scale
        self._max_shrinkage = config.max_shrinkage

    def forward(self, f16: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = _unit_rms(f16) if self._bounded else f16
        key, shrinkage, selection = self.key_proj(x).float(), self.d_proj(x).float(), torch.sigmoid(self.e_proj(x).float())
        if self._bounded:
            key = _unit_rms(key) * self._key_scale
            return key, 1 + (self._max_shrinkage - 1) * torch.sigmoid(shrinkage), selection
        return key, shrinkage**2 + 1, selection


def _unit_rms(x: Tensor) -> Tensor:
    """Each position's channels scaled to a root mean square of one."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


class _ValueHead(nn.Module):
    """The end that both value encoders share: fusion with the frame's features, and the deep update of the hidden state."""

    def __init__(self, config: XMemConfig, own_dim: int) -> None:
        super().__init__()
        self.fuser = FeatureFusion(config.f16_dim, own_dim, config.value_dim, config.skip_kernel)
        self.hidden_reinforce = GatedUpdate(config.value_dim, config.hidden_dim) if config.hidden_dim else None

    def _finish(self, f16: Tensor, own: Tensor, hidden: Tensor, deep_update: bool) -> tuple[Tensor, Tensor]:
        value = self.fuser(f16, own)
        if deep_update and self.hidden_reinforce is not None:
            hidden = self.hidden_reinforce(value, hidden)
        return value, hidden


class ResNet18ValueEncoder(_ValueHead):
    """Official XMem's value encoder: a ResNet-18 over RGB, the object's mask and the sum of the others'."""

    def __init__(self, config: XMemConfig) -> None:
        super().__init__(config, own_dim=256)
        self.conv1 = nn.Conv2d(5, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3 = resnet18_stages()

    def forward(
        self, frames: Tensor, features: tuple[Tensor, Tensor, Tensor], hidden: Tensor, masks: Tensor, deep_update: bool
    ) -> tuple[Tensor, Tensor]:
        """``frames`` (B, 3, H, W), ``features`` (f16, f8, f4), ``hidden`` (B·n, Ch, h, w), ``masks`` (B·n, 2, H, W)."""
        x = torch.cat([per_object(frames, masks.shape[0] // frames.shape[0]), masks], 1)
        x = F.relu(F.max_pool2d(self.bn1(self.conv1(x)), 3, 2, 1))
        return self._finish(features[0], self.layer3(self.layer2(self.layer1(x))), hidden, deep_update)


class LiteValueEncoder(_ValueHead):
    """Four strided convolutions that reuse the frame's features at each level, so that only thin layers run per object."""

    WIDTHS = (16, 32, 48, 96)

    def __init__(self, config: XMemConfig) -> None:
        super().__init__(config, own_dim=self.WIDTHS[-1])
        w2, w4, w8, w16 = self.WIDTHS
        self.stem = nn.Conv2d(5, w2, 3, 2, 1)
        self.conv4 = nn.Conv2d(w2, w4, 3, 2, 1)
        self.conv8 = nn.Conv2d(w4, w8, 3, 2, 1)
        self.conv16 = nn.Conv2d(w8, w16, 3, 2, 1)
        self.skip4 = nn.Conv2d(config.f4_dim, w4, 1)
        self.skip8 = nn.Conv2d(config.f8_dim, w8, 1)
        self.norm4 = nn.GroupNorm(8, w4)
        self.norm8 = nn.GroupNorm(8, w8)
        self.norm16 = nn.GroupNorm(8, w16)

    def forward(
        self, frames: Tensor, features: tuple[Tensor, Tensor, Tensor], hidden: Tensor, masks: Tensor, deep_update: bool
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`ResNet18ValueEncoder.forward`."""
        f16, f8, f4 = features
        count = masks.shape[0] // frames.shape[0]
        x = F.relu(self.stem(torch.cat([per_object(frames, count), masks], 1)))
        x = F.relu(self.norm4(self.conv4(x) + per_object(self.skip4(f4), count)))
        x = F.relu(self.norm8(self.conv8(x) + per_object(self.skip8(f8), count)))
        return self._finish(f16, self.norm16(self.conv16(x)), hidden, deep_update)


def build_value_encoder(config: XMemConfig) -> ResNet18ValueEncoder | LiteValueEncoder:
    return LiteValueEncoder(config) if config.backbone == "lite0" else ResNet18ValueEncoder(config)

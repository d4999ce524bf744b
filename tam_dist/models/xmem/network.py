"""XMem's network: frame to key, frame and mask to value, memory readout to mask.

Shapes: B frames (of different videos, or of one), n objects in each, (h, w) = (H/16, W/16). Frames are RGB float32,
normalised by the ImageNet mean and deviation, with H and W multiples of ``XMem.stride``. Official checkpoints fit the
default configuration; the embedded network is the same code in ``config.SMALL`` widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tam_dist.models.xmem.blocks import DecoderUpdate, FeatureFusion, UpsampleBlock
from tam_dist.models.xmem.config import XMemConfig
from tam_dist.models.xmem.encoders import KeyProjection, build_key_encoder, build_value_encoder

#: ImageNet statistics that frames in 0..1 are normalised with.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class KeyFeatures:
    """What depends on a frame alone: features at strides 16, 8 and 4, and key (B, Ck, h, w), shrinkage (B, 1, h, w) of at
    least 1, selection (B, Ck, h, w) in 0..1, float32.
    """

    f16: Tensor
    f8: Tensor
    f4: Tensor
    key: Tensor
    shrinkage: Tensor
    selection: Tensor

    def frame(self, index: int) -> KeyFeatures:
        """One frame of the batch, as views with B = 1."""
        at = slice(index, index + 1)
        return KeyFeatures(self.f16[at], self.f8[at], self.f4[at], self.key[at], self.shrinkage[at], self.selection[at])

    @property
    def levels(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.f16, self.f8, self.f4


class Decoder(nn.Module):
    """Memory readout and hidden state to logits at stride 4 (paper section 3.1)."""

    def __init__(self, config: XMemConfig) -> None:
        super().__init__()
        g16, g8, g4 = config.g16_dim, config.g8_dim, config.g4_dim
        kernel = config.skip_kernel
        self.fuser = FeatureFusion(config.f16_dim, config.value_dim + config.hidden_dim, g16, kernel)
        self.hidden_update = DecoderUpdate((g16, g8, g4), config.update_dim, config.hidden_dim) if config.hidden_dim else None
        self.up_16_8 = UpsampleBlock(config.f8_dim, g16, g8, kernel)
        self.up_8_4 = UpsampleBlock(config.f4_dim, g8, g4, kernel)
        self.pred = nn.Conv2d(g4, 1, 3, padding=1)

    def forward(self, features: KeyFeatures, readout: Tensor, hidden: Tensor, update_hidden: bool) -> tuple[Tensor, Tensor]:
        """``readout`` (B·n, Cv, h, w), ``hidden`` (B·n, Ch, h, w) to (hidden, logits (B·n, 1, H/4, W/4))."""
        g16 = self.fuser(features.f16, torch.cat([readout, hidden], 1))
        g8 = self.up_16_8(features.f8, g16)
        g4 = self.up_8_4(features.f4, g8)
        logits = self.pred(F.relu(g4))
        if update_hidden and self.hidden_update is not None:
            merged = self.hidden_update.merge(g16, g8, torch.cat([g4, logits], 1))
            hidden = self.hidden_update(merged, hidden)
        return hidden, logits


class XMem(nn.Module):
    """The whole network; see the module's docstring for shapes."""

    def __init__(self, config: XMemConfig) -> None:
        super().__init__()
        self.config = config
        self.key_encoder = build_key_encoder(config)
        self.value_encoder = build_value_encoder(config)
        self.key_proj = KeyProjection(config)
        self.decoder = Decoder(config)

    @property
    def stride(self) -> int:
        """H and W of frames must be multiples of this."""
        return self.config.stride

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, except that batch norms keep their ImageNet statistics, as in XMem's own training."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def encode_key(self, frames: Tensor) -> KeyFeatures:
        """``frames`` float (B, 3, H, W), normalised."""
        f16, f8, f4 = self.key_encoder(frames)
        return KeyFeatures(f16, f8, f4, *self.key_proj(f16))

    def encode_value(
        self, frames: Tensor, features: KeyFeatures, hidden: Tensor, masks: Tensor, deep_update: bool = True
    ) -> tuple[Tensor, Tensor]:
        """What memory keeps of each object, and the hidden state, updated from it where ``deep_update``.

        ``hidden`` (B, n, Ch, h, w); ``masks`` float (B, n, H, W) probabilities in 0..1. Returns value (B, n, Cv, h, w), hidden.
        """
        batch = tuple(masks.shape[:2])
        others = masks.sum(1, keepdim=True) - masks if batch[1] > 1 else torch.zeros_like(masks)
        own = torch.stack([masks, others], 2).flatten(0, 1)
        value, hidden = self.value_encoder(frames, features.levels, hidden.flatten(0, 1), own, deep_update)
        return _by_object(value.float(), batch), self._note_mask(_by_object(hidden, batch), masks)

    def segment(
        self, features: KeyFeatures, readout: Tensor, hidden: Tensor, update_hidden: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode masks. ``readout`` (B, n, Cv, h, w), ``hidden`` (B, n, Ch, h, w).

        Returns hidden (B, n, Ch, h, w), and float32 (B, n+1, H, W), background first: logits and probabilities that sum to 1.
        """
        hidden, raw = self.raw_logits(features, readout, hidden, update_hidden)
        logits, probabilities = aggregate(torch.sigmoid(raw))
        return hidden, logits, probabilities

    def raw_logits(
        self, features: KeyFeatures, readout: Tensor, hidden: Tensor, update_hidden: bool = True
    ) -> tuple[Tensor, Tensor]:
        """:meth:`segment` before objects compete: (hidden, float32 logits (B, n, H, W)), each object against all else."""
        batch = tuple(readout.shape[:2])
        hidden, logits = self.decoder(features, readout.flatten(0, 1), hidden.flatten(0, 1), update_hidden)
        logits = logits.float()
        full = F.interpolate(logits, scale_factor=4.0, mode="bilinear", align_corners=False)
        hidden = _by_object(hidden, batch)
        if update_hidden:
            hidden = self._note_mask(hidden, _by_object(torch.sigmoid(logits[:, 0]), batch))
        return hidden, _by_object(full[:, 0], batch)

    def _note_mask(self, hidden: Tensor, masks: Tensor) -> Tensor:
        """The last channel of ``hidden`` (B, n, Ch, h, w) replaced by ``masks`` (B, n, H', W') in -1..1; 0 is "none yet"."""
        if not self.config.mask_in_hidden:
            return hidden
        latest = F.adaptive_avg_pool2d(masks, (hidden.shape[-2], hidden.shape[-1]))
        return torch.cat([hidden[:, :, :-1], (2 * latest - 1).unsqueeze(2)], 2)

    @classmethod
    def from_official(cls, state: Mapping[str, Tensor]) -> XMem:
        """A network with the weights of an official checkpoint, in evaluation mode.

        Raises :class:`WeightsError` or RuntimeError (``load_state_dict``) where keys or shapes do not fit.
        """
        network = cls(XMemConfig.from_state_dict(state))
        weights = dict(state)
        own = network.state_dict()
        for key in own:  # counters of seen training batches: meaningless for inference, absent from some exports
            if key.endswith("num_batches_tracked"):
                weights.setdefault(key, own[key])
        stem = weights.get("value_encoder.conv1.weight")
        if stem is not None and stem.shape[1] == 4:  # trained with a single object: the others' mask counts for nothing
            weights["value_encoder.conv1.weight"] = F.pad(stem, (0, 0, 0, 0, 0, 1))
        network.load_state_dict(weights)
        return network.eval()


def _by_object(folded: Tensor, batch: tuple[int, ...]) -> Tensor:
    """(B·n, …) to (B, n, …)."""
    return folded.reshape(*batch, *folded.shape[1:])


def aggregate(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Soft aggregation: independent object probabilities (…, n, H, W) to logits and probabilities (…, n+1, H, W) that exclude
    each other, background first (from STM, Oh et al. 2019). One object of probability p becomes p² / (p² + (1-p)²).

    >>> _, p = aggregate(torch.tensor([[[0.8]], [[0.5]]]))
    >>> [round(x, 2) for x in p.flatten().tolist()]
    [0.02, 0.78, 0.2]
    """
    probabilities = probabilities.float()
    background = torch.prod(1 - probabilities, dim=-3, keepdim=True)
    stacked = torch.cat([background, probabilities], dim=-3).clamp(1e-7, 1 - 1e-7)
    logits = torch.log(stacked / (1 - stacked))
    return logits, torch.softmax(logits, dim=-3)


def normalise(frames: Tensor) -> Tensor:
    """uint8 (B, h, w, 3) RGB to float32 (B, 3, h, w) as the network expects it."""
    x = frames.permute(0, 3, 1, 2).contiguous().float() / 255  # left as a view, the trunk runs a fifth slower on CPUs
    mean = torch.tensor(IMAGE_MEAN, device=x.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGE_STD, device=x.device).view(1, 3, 1, 1)
    return (x - mean) / std

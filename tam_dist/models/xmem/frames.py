"""Frames as the network takes them: padded, normalised, encoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from tam_dist.models.xmem.network import KeyFeatures


@dataclass(frozen=True)
class Padding:
    """Pixels added around a frame so that its sides are multiples of the network's stride."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, height: int, width: int, stride: int) -> Padding:
        """Split evenly, the odd pixel at the right and bottom, as official XMem does.

        >>> Padding.to_multiple(91, 153, 16)
        Padding(left=3, right=4, top=2, bottom=3)
        """
        dx, dy = -width % stride, -height % stride
        return cls(dx // 2, dx - dx // 2, dy // 2, dy - dy // 2)

    def pad(self, x: Tensor) -> Tensor:
        """(…, h, w) with zeros around it."""
        return F.pad(x, (self.left, self.right, self.top, self.bottom))

    def crop(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`pad`, as a view."""
        height, width = x.shape[-2:]
        return x[..., self.top : height - self.bottom, self.left : width - self.right]


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """One frame: ``image`` float32 (1, 3, H, W), normalised and padded, and its features (B = 1).

    They are views of the batch they were encoded in, which lives as long as one of its frames is held.
    """

    image: Tensor
    features: KeyFeatures
    padding: Padding

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) without padding."""
        height, width = self.padding.crop(self.image).shape[-2:]
        return height, width

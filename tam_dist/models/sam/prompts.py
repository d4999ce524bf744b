"""From a query in the source's pixels to what SAM's prompt encoder takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tam_dist.errors import PromptError
from tam_dist.models.sam.build import ResizeLongestSide
from tam_dist.types import FloatArray, ObjectQuery

# SAM's own logits stay within about this; a tracker's may be infinite, and one such value would flood the embedding.
_LARGEST_LOGIT = 20.0


@dataclass(frozen=True)
class Geometry:
    """How a frame lies in SAM's input: ``frame`` (H, W) scaled to ``inside`` (h, w), at the top left of a square of ``side``.

    >>> Geometry.of((480, 854), 1024).inside
    (576, 1024)
    """

    frame: tuple[int, int]
    inside: tuple[int, int]
    side: int

    @classmethod
    def of(cls, frame: tuple[int, int], side: int) -> Geometry:
        return cls(frame, ResizeLongestSide.get_preprocess_shape(*frame, side), side)


@dataclass(frozen=True, eq=False)
class EncodedQuery:
    """``points``: float32 (1, P, 2) in input pixels and int64 (1, P) labels, or None; ``boxes`` float32 (1, 4) or None;
    ``masks`` float32 (1, 1, S, S) or None."""

    points: tuple[Tensor, Tensor] | None
    boxes: Tensor | None
    masks: Tensor | None

    @property
    def ambiguous(self) -> bool:
        """One click alone may mean a part or the whole ("Segment Anything", section 3)."""
        return self.boxes is None and self.masks is None and self.points is not None and self.points[1].shape[1] == 1


def encode_query(query: ObjectQuery, geometry: Geometry, mask_side: int, device: torch.device) -> EncodedQuery:
    """``mask_side``: side S of the mask prompt. Raises :class:`PromptError` where the query asks nothing or is malformed."""
    points, labels = np.asarray(query.points, np.float32).reshape(-1, 2), np.asarray(query.point_labels, np.int64)
    if len(points) != len(labels):
        raise PromptError(f"Object {query.object_id} was given {len(points)} points but {len(labels)} labels of points.")
    if not len(points) and query.box is None and query.mask_logits is None:
        raise PromptError(f"Object {query.object_id} was asked for without any point, box or mask; give at least one.")
    transform = ResizeLongestSide(geometry.side)
    given = None
    if len(points):
        scaled = torch.as_tensor(transform.apply_coords(points, geometry.frame), dtype=torch.float32, device=device)
        given = (scaled[None], torch.as_tensor(labels, device=device)[None])
    boxes = None
    if query.box is not None:
        box = transform.apply_boxes(np.asarray(query.box, np.float32)[None], geometry.frame)
        boxes = torch.as_tensor(box, dtype=torch.float32, device=device)
    masks = None
    if query.mask_logits is not None:
        masks = lay_out_mask(query.mask_logits, geometry, mask_side).to(device)
    return EncodedQuery(given, boxes, masks)


def lay_out_mask(logits: FloatArray, geometry: Geometry, mask_side: int) -> Tensor:
    """A mask's logits as SAM's mask prompt: float32 (1, 1, S, S), the frame at the top left, the padding firmly outside.

    ``logits`` float32 (h, w) over the whole frame at any resolution; or (S, S), SAM's own logits of an earlier round,
    which are laid out already (for a square frame the two mean the same).
    """
    tensor = torch.from_numpy(np.array(logits, dtype=np.float32))[None, None]
    if tensor.shape[-2:] == (mask_side, mask_side):
        return tensor
    tensor = tensor.nan_to_num(nan=0.0).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    height, width = (max(1, round(side * mask_side / geometry.side)) for side in geometry.inside)
    resized = F.interpolate(tensor, (height, width), mode="bilinear", antialias=True)
    outside = min(float(resized.min()), -1.0)
    return F.pad(resized, (0, mask_side - width, 0, mask_side - height), value=outside)

"""Between the source's size and the size at which masks are propagated."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tam_dist.types import BoolArray, FloatArray, LabelArray, UInt8Array


def resize_frames(frames: UInt8Array, size: tuple[int, int]) -> Tensor:
    """uint8 (n, H, W, 3) to a private uint8 tensor (n, h, w, 3): by area averaging, enlarged with cubic splines."""
    height, width = size
    if frames.shape[1:3] == size:
        return torch.from_numpy(np.array(frames))  # a copy: frames from the object store are read-only
    way = cv2.INTER_CUBIC if height > frames.shape[1] else cv2.INTER_AREA
    return torch.from_numpy(np.stack([cv2.resize(f, (width, height), interpolation=way) for f in frames]))


def resize_mask(mask: BoolArray, size: tuple[int, int]) -> Tensor:
    """bool (H, W) to float32 (h, w): the share of each pixel that the mask covers; its outline is softened where it grows."""
    height, width = size
    way = cv2.INTER_LINEAR if height > mask.shape[0] else cv2.INTER_AREA
    soft: FloatArray = cv2.resize(mask.astype(np.float32), (width, height), interpolation=way).astype(np.float32)
    return torch.from_numpy(soft)


def label_map(probabilities: Tensor, object_ids: Sequence[int], size: tuple[int, int], dtype: np.dtype) -> LabelArray:
    """float (n+1, h, w), background first, to object ids (H, W): bilinear to the source's size, then the most probable.

    Ties go to the background, then to the lower row, as official XMem's arg-max does. One row is enlarged at a time: at
    1080p with many objects the enlarged stack would be the largest tensor of all.
    """
    best = _enlarge(probabilities[0], size)
    labels = torch.zeros(size, dtype=torch.int32, device=probabilities.device)
    for row, object_id in enumerate(object_ids, start=1):
        candidate = _enlarge(probabilities[row], size)
        better = candidate > best
        labels[better] = object_id
        best = torch.where(better, candidate, best)
    return labels.cpu().numpy().astype(dtype)


def _enlarge(plane: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(plane.shape) == size:
        return plane
    return F.interpolate(plane[None, None].float(), size=size, mode="bilinear", align_corners=False)[0, 0]

"""DAVIS's measures of a mask: region similarity J and contour accuracy F (Perazzi et al., CVPR 2016, section 5), and the
statistics over a sequence as the official evaluation computes them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from tam_dist.types import BoolArray, UInt8Array

#: Distance within which contours count as the same, as a share of the image's diagonal.
CONTOUR_TOLERANCE = 0.008
_RECALL_THRESHOLD = 0.5
_BINS = 4


@dataclass(frozen=True)
class Statistics:
    """``mean`` of the values; ``recall``: the share above 0.5; ``decay``: mean of the first quarter minus that of the last."""

    mean: float
    recall: float
    decay: float


def region_similarity(predicted: BoolArray, truth: BoolArray, void: BoolArray | None = None) -> float:
    """J: intersection over union of two bool (H, W) masks, outside of ``void``; 1 where both are empty.

    >>> float(region_similarity(np.array([[True, True]]), np.array([[True, False]])))
    0.5
    """
    valid = np.ones_like(truth) if void is None else ~void
    union = np.count_nonzero((predicted | truth) & valid)
    return np.count_nonzero(predicted & truth & valid) / union if union else 1.0


def contour_accuracy(predicted: BoolArray, truth: BoolArray, void: BoolArray | None = None) -> float:
    """F: the harmonic mean of the contours' precision and recall, each contour matched within the tolerance of the other.

    1 where both masks have no contour, 0 where one of them has none.
    """
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    ours, theirs = contour(predicted), contour(truth)
    if not ours.any() or not theirs.any():
        return float(not ours.any() and not theirs.any())
    disk = _disk(math.ceil(CONTOUR_TOLERANCE * math.hypot(*truth.shape)))
    precision = np.count_nonzero(ours & _dilated(theirs, disk)) / np.count_nonzero(ours)
    recall = np.count_nonzero(theirs & _dilated(ours, disk)) / np.count_nonzero(theirs)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: BoolArray) -> BoolArray:
    """Pixels that differ from their right, lower or lower right neighbour: one pixel wide, half a pixel towards the origin.

    >>> contour(np.array([[False, True, True]])).tolist()
    [[True, False, False]]
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    edge: BoolArray = (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:])
    return edge


def statistics(values: Sequence[float]) -> Statistics:
    """Over the frames of one object. The quarters of the decay overlap by a frame, as in the official code."""
    array = np.asarray(values, dtype=np.float64)
    ends = (np.round(np.linspace(1, len(array), _BINS + 1) + 1e-10) - 1).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no frame is NaN
        first, last = (np.nanmean(array[ends[i] : ends[i + 1] + 1]) for i in (0, _BINS - 1))
        mean, recall = np.nanmean(array), np.nanmean(array > _RECALL_THRESHOLD)
    return Statistics(float(mean), float(recall), float(first - last))


@lru_cache(maxsize=8)
def _disk(radius: int) -> UInt8Array:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk: UInt8Array = (x * x + y * y <= radius * radius).astype(np.uint8)
    return disk


def _dilated(mask: BoolArray, disk: UInt8Array) -> BoolArray:
    dilated: BoolArray = cv2.dilate(mask.astype(np.uint8), disk).astype(bool)
    return dilated

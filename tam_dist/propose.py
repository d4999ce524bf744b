"""Objects that nobody has pointed at: SAM is asked on a grid of points, and what it is sure of kept once ("Segment Anything",
Kirillov et al. 2023, appendix B). Its own generator needs torchvision for one function, the suppression of boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.types import BoolArray, FloatArray, ObjectQuery, SegmentedMask, UInt8Array

Boxes = NDArray[np.float64]

#: Logits this far above and below the threshold must give nearly the same mask.
_OFFSET = 1.0


@dataclass(frozen=True)
class ProposalRules:
    """``grid`` points across and down; ``score``, SAM's own, and ``stability`` that a mask must have; boxes and masks that
    overlap more than ``overlap`` (IoU) are one object; areas as shares of the picture; at most ``most`` objects, the surest.
    """

    grid: int = 16
    score: float = 0.6
    stability: float = 0.7
    overlap: float = 0.6
    smallest: float = 0.001
    largest: float = 0.6
    most: int = 20


@dataclass(frozen=True, eq=False)
class Proposal:
    """``mask`` bool (H, W), disjoint from every other's; ``score`` 0..1; ``point`` x, y that it was found from."""

    mask: BoolArray
    score: float
    point: tuple[float, float]


def propose(segmenter: SupportsSegment, frame: UInt8Array, rules: ProposalRules | None = None) -> list[Proposal]:
    """The objects of ``frame``, uint8 (H, W, 3) RGB, the largest first; [] where SAM is sure of none."""
    rules = rules or ProposalRules()
    height, width = frame.shape[:2]
    points = grid_points(height, width, rules.grid)
    label = np.ones(1, np.int64)
    queries = [ObjectQuery(i + 1, point[None], label) for i, point in enumerate(points)]
    found: list[tuple[float, BoolArray, FloatArray]] = []
    for query, answer in zip(queries, segmenter.segment(frame, queries, frame_key=object()), strict=True):
        whole = largest_part(answer.mask)
        share = float(whole.mean())
        if answer.score < rules.score or not rules.smallest <= share <= rules.largest:
            continue
        certainty = stability(answer)
        if certainty >= rules.stability:
            found.append((answer.score * certainty, whole, query.points[0]))
    found.sort(key=lambda f: -f[0])
    kept = suppress([f[1] for f in found], rules.overlap)
    chosen = [found[i] for i in kept][: rules.most]
    return _disjoint(chosen, rules.smallest * height * width)


def grid_points(height: int, width: int, across: int) -> FloatArray:
    """float32 (n * n, 2): x, y of points in the middles of equal cells.

    >>> grid_points(4, 8, 2).tolist()
    [[2.0, 1.0], [6.0, 1.0], [2.0, 3.0], [6.0, 3.0]]
    """
    steps = (np.arange(across) + 0.5) / across
    x, y = np.meshgrid(steps * width, steps * height)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def stability(answer: SegmentedMask) -> float:
    """How little the mask changes with its threshold: the IoU of those above and below it, 0..1; 1 where nothing is known."""
    if answer.logits is None:
        return 1.0
    above, below = int((answer.logits > _OFFSET).sum()), int((answer.logits > -_OFFSET).sum())
    return above / below if below else 0.0


def largest_part(mask: BoolArray) -> BoolArray:
    """The largest connected part of ``mask``."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    return np.asarray(parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), bool)


def suppress(masks: Sequence[BoolArray], overlap: float) -> list[int]:
    """Indices of the masks that overlap none before them by more than ``overlap`` IoU, of boxes first, which is quick, and then
    of the masks themselves, as boxes of two things can agree.
    """
    boxes = np.array([box_of(mask) for mask in masks], np.float64).reshape(-1, 4)
    kept: list[int] = []
    for i, mask in enumerate(masks):
        near = [k for k in kept if box_iou(boxes[i], boxes[k]) > overlap]
        if not any(_iou(mask, masks[k]) > overlap for k in near):
            kept.append(i)
    return kept


def box_of(mask: BoolArray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (exclusive) of a mask; zeros where it is empty."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, x + width, y + height


def box_iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """
    >>> box_iou(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2]))
    0.3333333333333333
    """
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return both / (areas - both) if both else 0.0


def _iou(one: BoolArray, other: BoolArray) -> float:
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 0.0


def _disjoint(chosen: Sequence[tuple[float, BoolArray, FloatArray]], smallest: float) -> list[Proposal]:
    """Each pixel to the smallest object it is in, so that a hat is not lost in its wearer; what is left too small goes."""
    by_size = sorted(chosen, key=lambda f: int(f[1].sum()))
    taken = np.zeros(by_size[0][1].shape, bool) if by_size else np.zeros((0, 0), bool)
    proposals = []
    for score, mask, point in by_size:
        left = largest_part(mask & ~taken)
        if left.sum() >= smallest:
            taken |= left
            proposals.append(Proposal(left, round(score, 4), (float(point[0]), float(point[1]))))
    return proposals[::-1]

"""What looks wrong with an object's mask, told from the masks around the frame in which its quality gave way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from tam_dist.types import BoolArray, FloatArray, LabelArray, Origin, UInt8Array


class Trouble(StrEnum):
    """Kinds that people correct differently: by a click beside the object where it leaked, on it where it was lost, …"""

    GONE = "gone"
    LOST = "lost"
    JUMPED = "jumped"
    LEAKED = "leaked"
    LOOK_ALIKE = "look-alike"
    UNSURE = "unsure"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Trouble.GONE: "taken to be gone",
    Trouble.LOST: "lost: most of it is missing",
    Trouble.JUMPED: "jumped to another place",
    Trouble.LEAKED: "leaked into what is beside it",
    Trouble.LOOK_ALIKE: "may be taken for a look-alike",
    Trouble.UNSURE: "unsure",
}

#: Of its area before: what is smaller has lost most of itself, what is larger has leaked.
_SHRUNK, _GROWN = 0.4, 1.8
#: Of a mask, lying where another object was in the frame before, or in a part of its own away from the rest.
_TAKEN_OVER, _APART = 0.3, 0.2
#: Between two frames that follow each other, in object sizes (square root of the area), without any overlap.
_LEAP = 0.75
#: Objects are alike in size, and near, within these shares of it.
_ALIKE, _NEAR = 0.5, 0.25
#: Frames looked at from where the quality gave way on.
_STEPS = 3
#: Pixels of the longer side in which masks are compared.
_ENOUGH = 480


def trouble_at(
    frame: int,
    object_id: int,
    quality: FloatArray,
    origin: UInt8Array,
    labels: Callable[[int], LabelArray],
    *,
    good_enough: float = 0.8,
) -> Trouble:
    """Of the object in ``frame``. ``quality`` float32 (T,) in 0..1 and ``origin`` uint8 (T,) are the object's; ``labels`` gives
    a frame's (H, W), and is asked for five at most: the last good one, those in which the quality gave way, and ``frame``.
    """
    if origin[frame] == Origin.ABSENT:
        return Trouble.GONE
    begun = gave_way(quality, frame, good_enough)
    frames = sorted({max(0, begun - 1), *range(begun, min(begun + _STEPS, frame + 1)), frame})
    return told_apart({each: _small(labels(each)) for each in frames}, object_id)


def gave_way(quality: FloatArray, frame: int, good_enough: float) -> int:
    """The first frame of the stretch that ends with ``frame`` and in which nothing is good enough.

    >>> gave_way(np.array([0.9, 0.9, 0.5, 0.4, 0.3], np.float32), 4, 0.8)
    2
    """
    good = np.flatnonzero(quality[:frame] >= good_enough)
    return int(good[-1]) + 1 if good.size else 0


def told_apart(labels: Mapping[int, LabelArray], object_id: int) -> Trouble:
    """``labels``, each (H, W), by frame in order: a good one, some after it, the one in question last.

    >>> good, grown = np.zeros((2, 40, 40), np.uint8)
    >>> good[10:16, 10:16], grown[10:30, 10:30] = 1, 1
    >>> told_apart({7: good, 8: grown}, 1)
    <Trouble.LEAKED: 'leaked'>
    """
    first, *_, last = labels
    before, now = _Shape.of(labels[first], object_id), _Shape.of(labels[last], object_id)
    if now.area == 0 or now.area < _SHRUNK * before.area:
        return Trouble.LOST
    steps = [(labels[one], labels[other]) for one, other in pairwise(labels) if other - one == 1]
    if any(_taken_over(*step, object_id) > _TAKEN_OVER for step in steps):
        return Trouble.LOOK_ALIKE
    if any(_leaps(*step, object_id) for step in steps):
        return Trouble.JUMPED
    if now.apart > _APART > before.apart:
        return Trouble.LOOK_ALIKE
    if before.area and now.area > _GROWN * before.area:
        return Trouble.LEAKED
    return Trouble.LOOK_ALIKE if _one_like_it(labels[last], object_id, now) else Trouble.UNSURE


@dataclass(frozen=True, eq=False)
class _Shape:
    """``area`` in pixels, ``centre`` as x, y; ``apart``: the share of the area in parts that lie away from the largest one."""

    mask: BoolArray
    area: int
    centre: NDArray[np.float64]
    apart: float

    @classmethod
    def of(cls, labels: LabelArray, object_id: int) -> _Shape:
        mask = labels == object_id
        count, _, sizes, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        if count == 1:
            return cls(mask, 0, np.zeros(2), 0.0)
        areas = sizes[1:, cv2.CC_STAT_AREA].astype(np.float64)
        area, main = areas.sum(), int(areas.argmax())
        away = np.linalg.norm(centres[1:] - centres[1 + main], axis=1) > 2 * np.sqrt(areas[main])
        centre = (centres[1:] * areas[:, None]).sum(0) / area
        return cls(mask, int(area), centre, float(areas[away].sum() / area))


def _taken_over(before: LabelArray, now: LabelArray, object_id: int) -> float:
    """Share of the mask that lies where another object was."""
    mask = now == object_id
    other = before[mask]
    return float(((other != 0) & (other != object_id)).mean()) if other.size else 0.0


def _leaps(before: LabelArray, now: LabelArray, object_id: int) -> bool:
    one, other = _Shape.of(before, object_id), _Shape.of(now, object_id)
    if not one.area or not other.area or (one.mask & other.mask).any():
        return False
    return bool(np.linalg.norm(other.centre - one.centre) > _LEAP * np.sqrt(max(one.area, other.area)))


def _one_like_it(labels: LabelArray, object_id: int, shape: _Shape) -> bool:
    """Whether another object of about its size is beside it."""
    reach = max(1, round(_NEAR * np.sqrt(shape.area)))
    around = cv2.dilate(shape.mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    for other in np.unique(labels[around]).tolist():
        area = int((labels == other).sum())
        if other not in (0, object_id) and _ALIKE * shape.area <= area <= shape.area / _ALIKE:
            return True
    return False


def _small(labels: LabelArray) -> LabelArray:
    step = max(1, max(labels.shape) // _ENOUGH)
    return labels[::step, ::step]

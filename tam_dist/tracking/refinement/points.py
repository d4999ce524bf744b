"""From XMem's probes and affinities to points for SAM (paper section 3.2, "projected from probes and affinities").

Memory says of every 16x16 cell which share of its matches falls on each object. Where that is high and the predicted mask
agrees, the object surely is: positive points. Where the mask claims a cell whose matches point to the background, and where it
touches another object's mask, it probably is not: negative points. (Points on the background beside the mask were tried too:
over 399 answers of the embedded SAM on training videos they lowered the mean IoU from 0.657 to 0.623, as an object often goes
on beyond a mask that lost a part of it.)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tam_dist.regions import interior_distance
from tam_dist.types import BoolArray, FloatArray

#: Limits of what SAM is told about one object.
MAX_POSITIVE = 3
MAX_NEGATIVE = 3
#: Evidence from which a positive point may be taken, and foreground up to which a negative one may.
SURE = 0.6
DOUBTED = 0.2
#: Least distance of two points, in lengths of the square root of the mask's area, and in pixels.
SPACING = 0.25
LEAST_SPACING = 8.0
#: How far from the mask a negative point may lie, in the same lengths.
REACH = 0.3


@dataclass(frozen=True, eq=False)
class EvidencePoints:
    """``xy`` float32 (P, 2), ``positive`` bool (P,): pixels of the frame the evidence is of, positive points first."""

    xy: FloatArray
    positive: BoolArray


def evidence_points(mask: BoolArray, probability: FloatArray, foreground: FloatArray, others: BoolArray) -> EvidencePoints:
    """Points for one object.

    ``mask`` bool (h, w), the predicted one, and ``probability`` float32 (h, w) 0..1 behind it; ``foreground`` float32 (h, w)
    0..1, the share of affinity on the object, brought to the frame's size; ``others`` bool (h, w), pixels of other objects'
    masks. At most ``MAX_POSITIVE`` and ``MAX_NEGATIVE`` points, apart by the spacing, inside the picture; none where the mask
    is empty and nothing matches.
    """
    support = mask if mask.any() else foreground > SURE
    if not support.any():
        return EvidencePoints(np.zeros((0, 2), np.float32), np.zeros(0, bool))
    size = float(np.sqrt(np.count_nonzero(support)))
    spacing = max(LEAST_SPACING, SPACING * size)
    depth = interior_distance(support, 3)
    inside = np.where(support & (foreground >= SURE), depth * foreground, 0)
    if not inside.any():  # nothing is sure: the middle of what there is
        inside = depth * (foreground + 1e-3)
    positive = _maxima(inside, MAX_POSITIVE, spacing, [])
    near = _near(support, max(REACH * size, LEAST_SPACING))
    doubt = np.where(others & near, 1.0, np.where(mask & (foreground <= DOUBTED), probability * (1 - foreground), 0.0))
    doubt = np.where(_far_from(positive, support.shape, spacing), doubt, 0).astype(np.float32)
    negative = _maxima(interior_distance(doubt > 0, 3) * doubt, MAX_NEGATIVE, spacing, positive)
    xy = np.array([*positive, *negative], np.float32).reshape(-1, 2)
    return EvidencePoints(xy, np.arange(len(xy)) < len(positive))


def _near(region: BoolArray, reach: float) -> BoolArray:
    distance = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3)
    near: BoolArray = distance <= reach
    return near


def _far_from(points: list[tuple[int, int]], shape: tuple[int, ...], spacing: float) -> BoolArray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    far = np.ones(shape, bool)
    for px, py in points:
        far &= (x - px) ** 2 + (y - py) ** 2 >= spacing**2
    return far


def _maxima(score: FloatArray, count: int, spacing: float, taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Up to ``count`` pixels (x, y) of the largest positive score, each ``spacing`` from the others and from ``taken``; the
    first in reading order among equals.
    """
    left = np.where(_far_from(taken, score.shape, spacing), score, 0)
    found: list[tuple[int, int]] = []
    while len(found) < count:
        y, x = np.unravel_index(int(left.argmax()), left.shape)
        if left[y, x] <= 0:
            break
        found.append((int(x), int(y)))
        left = np.where(_far_from(found[-1:], score.shape, spacing), left, 0)
    return found

"""Simulated clicks: the protocol of interactive segmentation, for measuring a segmenter and for starting benchmarks.

The first click lies in the object's interior point farthest from its border; each next one in the largest region that is
wrong so far, again at its farthest interior point ("Reviving Iterative Training with Mask Guidance", Sofiiuk et al. 2021,
section 3.2). Nothing is random, so figures can be repeated to the last digit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.regions import interior_distance
from tam_dist.types import BoolArray, Click, ObjectQuery, SegmentedMask, UInt8Array


def interior_point(region: BoolArray) -> tuple[int, int]:
    """x, y of the pixel of ``region`` farthest from its border; the first in reading order among equals.

    >>> square = np.zeros((9, 9), dtype=bool)
    >>> square[2:7, 1:6] = True
    >>> interior_point(square)
    (3, 4)
    """
    if not region.any():
        raise ValueError("an empty region has no interior point")
    y, x = divmod(int(interior_distance(region).argmax()), region.shape[1])
    return x, y


def first_click(truth: BoolArray) -> Click:
    """A positive click in the object's middle; ``truth``: bool (H, W), not empty."""
    x, y = interior_point(truth)
    return Click(float(x), float(y), positive=True)


def next_click(predicted: BoolArray, truth: BoolArray, valid: BoolArray | None = None) -> Click | None:
    """The click a person would add: in the largest connected region that is missing (positive) or too much (negative).

    ``valid``: bool (H, W), False where the truth is unknown. None where nothing is wrong.
    """
    known = np.ones_like(truth) if valid is None else valid
    missing, missing_area = _largest_component(truth & ~predicted & known)
    extra, extra_area = _largest_component(predicted & ~truth & known)
    if not missing_area and not extra_area:
        return None
    positive = missing_area >= extra_area
    x, y = interior_point(missing if positive else extra)
    return Click(float(x), float(y), positive=positive)


def mask_iou(predicted: BoolArray, truth: BoolArray, valid: BoolArray | None = None) -> float:
    """Intersection over union, 1 where both are empty; pixels outside ``valid`` do not count."""
    known = np.ones_like(truth) if valid is None else valid
    union = int(((predicted | truth) & known).sum())
    return 1.0 if union == 0 else int((predicted & truth & known).sum()) / union


def _largest_component(region: BoolArray) -> tuple[BoolArray, int]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    if count < 2:
        return region, 0
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return labels == largest, int(stats[largest, cv2.CC_STAT_AREA])


# --- measuring a segmenter -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClickScores:
    """``mean_iou`` after so many clicks, over all objects; ``iou_correlation``: Pearson's, of predicted and true IoU over all
    answers after those clicks, ``iou_error`` their mean absolute difference."""

    objects: int
    mean_iou: dict[int, float]
    iou_correlation: float
    iou_error: float


def evaluate_clicks(
    segmenter: SupportsSegment,
    folder: Path,
    clicks: Sequence[int] = (1, 2, 3, 5),
    names: Sequence[str] | None = None,
    *,
    minimum_area: float = 0.01,
) -> ClickScores:
    """Click every object of ``folder/masks/NAME.png`` that covers at least ``minimum_area`` of ``folder/images/NAME.jpg``.

    Masks: 0 background, 1..K objects, 255 unknown and not counted. Each round is shown the clicks so far and the logits of
    the round before. Raises :class:`ConfigError` where there is nothing to measure.
    """
    ious: dict[int, list[float]] = {count: [] for count in clicks}
    predicted: list[float] = []
    for name in names if names is not None else sorted(path.stem for path in (folder / "masks").glob("*.png")):
        image = np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("RGB"))
        labels = np.asarray(Image.open(folder / "masks" / f"{name}.png"))
        areas = np.bincount(labels.ravel(), minlength=256)[1:255]
        for value in np.flatnonzero(areas >= minimum_area * labels.size) + 1:
            rounds = click_rounds(segmenter, image, labels == value, labels != 255, max(clicks), name)
            for count, each in enumerate(rounds, start=1):
                if count in ious:
                    ious[count].append(each.iou)
                    predicted.append(each.answer.score)
    if not predicted:
        raise ConfigError(f"There is no object to click on in {folder}; expected masks/*.png beside images/*.jpg.")
    # Same order as `predicted`: by object, then by click count.
    true = np.array(list(zip(*ious.values(), strict=True))).ravel()
    scores = np.array(predicted)
    return ClickScores(
        objects=len(ious[clicks[0]]),
        mean_iou={count: float(np.mean(values)) for count, values in ious.items()},
        iou_correlation=float(np.corrcoef(scores, true)[0, 1]),
        iou_error=float(np.abs(scores - true).mean()),
    )


@dataclass(frozen=True, eq=False)
class ClickRound:
    """``clicks`` given so far, the segmenter's ``answer`` to them, and its true ``iou``."""

    clicks: tuple[Click, ...]
    answer: SegmentedMask
    iou: float


def click_rounds(
    segmenter: SupportsSegment, image: UInt8Array, truth: BoolArray, valid: BoolArray | None, rounds: int, key: Hashable | None
) -> Iterator[ClickRound]:
    """Click on one object ``rounds`` times; yields after each.

    Where nothing is left to correct, the answer stands for the rounds that remain.
    """
    given: list[Click] = []
    answer: SegmentedMask | None = None
    for _ in range(rounds):
        click = first_click(truth) if answer is None else next_click(answer.mask, truth, valid)
        if click is not None:
            given.append(click)
            query = ObjectQuery(
                object_id=1,
                points=np.array([(c.x, c.y) for c in given], dtype=np.float32),
                point_labels=np.array([int(c.positive) for c in given], dtype=np.int64),
                mask_logits=None if answer is None else answer.logits,
            )
            answer = segmenter.segment(image, [query], frame_key=key)[0]
        assert answer is not None
        yield ClickRound(tuple(given), answer, mask_iou(answer.mask, truth, valid))

"""The frames on which a person's time is spent best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tam_dist.steering.asking import Asking, Where
from tam_dist.types import Absent, FloatArray, Origin, UInt8Array

#: Frames before one with which it is compared.
_BEFORE = 5
#: A fall of the quality by so much within a frame is more than doubt that grows.
_FALL = 0.25


@dataclass(frozen=True)
class Spot:
    """``column`` of the object in a project's scores; ``quality`` is the expected IoU, 0..1, 0 where it is gone; ``reason``
    says what looks wrong.
    """

    frame: int
    column: int
    quality: float
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """An object in a frame of a project; ``quality`` and ``reason`` as in :class:`Spot`."""

    project: str
    frame: int
    object: str
    quality: float
    reason: str


def review_queue(where: Where | Sequence[Where], *, most: int = 20, good_enough: float = 0.8) -> list[Suggestion]:
    """What to look at in a project, or several, the worst first, at most ``most`` of each: objects in frames whose quality is
    below ``good_enough``, spread out over the video, and none near a frame that somebody has prompted or locked.

    Raises :class:`ProjectError`.
    """
    found: list[Suggestion] = []
    for each in [where] if isinstance(where, str) or not isinstance(where, Sequence) else where:
        asking = Asking(each)
        quality, origin = asking.store.quality[:], asking.store.origin[:]
        names = [o.name for o in asking.objects]
        marked: dict[int, list[int]] = {}
        declared = np.zeros_like(origin, bool)
        for prompt in asking.prompts:
            column = names.index(prompt.object_name)
            if not isinstance(prompt.data, Absent) or prompt.purpose == "lock":
                marked.setdefault(column, []).append(prompt.frame)
            if isinstance(prompt.data, Absent) and column < declared.shape[1]:
                declared[prompt.data.first : prompt.data.last + 1, column] = True
        quality = np.where(declared, np.nan, quality)
        spots = worst_spots(quality, origin, marked, most=most, good_enough=good_enough)
        found += [Suggestion(str(asking.where), s.frame, asking.shown[s.column].name, s.quality, s.reason) for s in spots]
    return sorted(found, key=lambda each: each.quality)


def worst_spots(
    quality: FloatArray,
    origin: UInt8Array,
    marked: Mapping[int, Sequence[int]] | None = None,
    *,
    most: int = 20,
    good_enough: float = 0.8,
) -> list[Spot]:
    """Where masks are expected to be worst: ``quality`` float32 (T, K) in 0..1, NaN where there is nothing to say; ``origin``
    uint8 (T, K). Worst first, no two of a column nearer than :func:`spacing`, none so near a frame ``marked`` in it.

    >>> quality = np.full((100, 1), 0.9, np.float32)
    >>> quality[40:44, 0], quality[80, 0] = 0.3, 0.5
    >>> [(s.frame, s.reason) for s in worst_spots(quality, np.full((100, 1), Origin.PROPAGATED, np.uint8))]
    [(40, 'lost from one frame to the next'), (80, 'lost from one frame to the next')]
    >>> worst_spots(quality, np.full((100, 1), Origin.PROPAGATED, np.uint8), {0: [42, 82]})
    []
    """
    frames, columns = quality.shape
    space = spacing(frames)
    found: list[Spot] = []
    for column in range(columns):
        scores = np.where(np.isnan(quality[:, column]), np.inf, quality[:, column])
        for frame in (marked or {}).get(column, ()):
            scores[max(0, frame - space + 1) : frame + space] = np.inf
        for _ in range(most):
            frame = int(scores.argmin())
            if not scores[frame] < good_enough:
                break
            reason = _reason(quality[:, column], origin[:, column], frame)
            found.append(Spot(frame, column, float(scores[frame]), reason))
            scores[max(0, frame - space + 1) : frame + space] = np.inf
    return sorted(found, key=lambda each: (each.quality, each.frame, each.column))[:most]


def spacing(frames: int) -> int:
    """How far apart frames of one video are suggested: what is wrong in one is wrong in its neighbours too.

    >>> spacing(132), spacing(170_000)
    (8, 25)
    """
    return max(8, min(25, frames // 40))


def _reason(quality: FloatArray, origin: UInt8Array, frame: int) -> str:
    before = quality[max(0, frame - _BEFORE) : frame]
    before = before[~np.isnan(before)]
    if origin[frame] == Origin.ABSENT:
        return "taken to be gone"
    if before.size and float(np.median(before)) - float(quality[frame]) > _FALL:
        return "lost from one frame to the next"
    return "corrected, and still unsure" if origin[frame] in (Origin.REFINED, Origin.CORRECTED) else "unsure"

"""The frames that need a person most, over all projects of the pane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tam_dist.review.opened import Opened
from tam_dist.review.queueing import Spot
from tam_dist.review.scores import UNKNOWN
from tam_dist.types import Origin

#: Suggestions of one project, and those shown at once.
_MOST_EACH, MOST_SHOWN = 40, 60
#: A mask expected to be better than this is not worth anybody's time.
_GOOD_ENOUGH = 0.8


@dataclass(frozen=True)
class Suggestion:
    """``quality`` is the expected IoU, 0..1; ``reason`` what looks wrong."""

    spot: Spot
    quality: float
    reason: str


def apart(frames: int) -> int:
    """How far from each other suggestions of one film are: what is wrong in one frame is wrong in its neighbours too.

    >>> apart(132), apart(170_000)
    (8, 25)
    """
    return max(8, min(25, frames // 40))


def suggestions(opened: Opened) -> list[Suggestion]:
    """Worst first. Frames that somebody has confirmed or corrected, and their neighbours, are none."""
    quality, origin = opened.scores.quality, opened.scores.origin
    space = apart(len(quality))
    seen = {(p.object_name, p.frame) for p in opened.prompts()}
    found: list[Suggestion] = []
    for k, known in enumerate(opened.manifest.objects[: quality.shape[1]]):
        scores = quality[:, k].astype(np.float32)
        scores[(quality[:, k] == UNKNOWN) | (origin[:, k] == Origin.ABSENT)] = np.inf
        for name, frame in seen:
            if name == known.name:
                scores[max(0, frame - space + 1) : frame + space] = np.inf
        for _ in range(_MOST_EACH):
            frame = int(scores.argmin())
            value = float(scores[frame]) / 254
            if value > _GOOD_ENOUGH:
                break
            found.append(Suggestion(Spot(opened.place.id, frame, known.name), value, "unsure"))
            scores[max(0, frame - space + 1) : frame + space] = np.inf
    return sorted(found, key=lambda each: each.quality)[:_MOST_EACH]

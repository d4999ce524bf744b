"""The frames that need a person most, over all projects of the pane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tam_dist.review.opened import Opened
from tam_dist.review.queueing import Spot
from tam_dist.review.scores import UNKNOWN
from tam_dist.steering.suggestions import worst_spots
from tam_dist.types import Absent

#: Suggestions of one project, and those shown at once.
_MOST_EACH, MOST_SHOWN = 40, 60


@dataclass(frozen=True)
class Suggestion:
    """``quality`` is the expected IoU, 0..1; ``reason`` what looks wrong."""

    spot: Spot
    quality: float
    reason: str


def suggestions(opened: Opened) -> list[Suggestion]:
    """As :func:`tam_dist.steering.review_queue`, from the scores that the pane keeps in memory."""
    scores, origin = opened.scores.quality, opened.scores.origin
    quality = np.where(scores == UNKNOWN, np.nan, scores.astype(np.float32) / 254).astype(np.float32)
    columns = {o.name: o.id - 1 for o in opened.manifest.objects if o.id <= quality.shape[1]}
    marked: dict[int, list[int]] = {}
    for prompt in opened.prompts():
        column = columns.get(prompt.object_name)
        if column is None:
            continue
        if isinstance(prompt.data, Absent) and prompt.purpose != "lock":
            quality[prompt.data.first : prompt.data.last + 1, column] = np.nan
        else:
            marked.setdefault(column, []).append(prompt.frame)
    names = {column: name for name, column in columns.items()}
    return [
        Suggestion(Spot(opened.place.id, spot.frame, names[spot.column]), spot.quality, spot.reason)
        for spot in worst_spots(quality, origin, marked, most=_MOST_EACH)
    ]

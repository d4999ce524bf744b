"""How well each object of a project is tracked, from the stored scores and origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tam_dist.types import FloatArray, Origin, UInt8Array

#: Under this score a mask is counted as poor.
POOR = 0.5


@dataclass(frozen=True)
class ObjectReport:
    """``tracked``: frames with a score; ``quality``: their mean, None for none; ``poor``: those under :data:`POOR`; ``worst``:
    the frame with the lowest; ``refined`` and ``absent``: frames with such masks.
    """

    name: str
    tracked: int
    quality: float | None
    poor: int
    worst: int | None
    refined: int
    absent: int


def object_reports(names: Sequence[str], quality: FloatArray, origin: UInt8Array) -> tuple[ObjectReport, ...]:
    """``quality`` float32 (T, K), NaN where not tracked; ``origin`` uint8 (T, K).

    >>> object_reports(["cat"], np.array([[np.nan], [0.9], [0.3]], np.float32), np.array([[0], [1], [3]], np.uint8))[0].worst
    2
    """
    found = []
    for name, scores, origins in zip(names, quality.T, origin.T, strict=True):
        known = ~np.isnan(scores)
        tracked = int(known.sum())
        found.append(
            ObjectReport(
                name,
                tracked,
                round(float(scores[known].mean()), 4) if tracked else None,
                int((scores[known] < POOR).sum()),
                int(np.nanargmin(scores)) if tracked else None,
                int((origins == Origin.REFINED).sum()),
                int((origins == Origin.ABSENT).sum()),
            )
        )
    return tuple(found)

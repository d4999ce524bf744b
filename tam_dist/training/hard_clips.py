"""Clips that went badly are shown again: the recipe of a clip is one number, so remembering it costs nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class _Entry:
    loss: float
    shown: int


class HardClips:
    """The recipes of the ``capacity`` worst clips for each number of objects, readable from worker processes.

    A clip leaves when it is learnt (others are worse) or after ``patience`` more showings: what stays bad is more often a
    wrong mask than a lesson. Only the process that trains may call :meth:`note`.
    """

    def __init__(self, most_objects: int, *, capacity: int = 32, patience: int = 3) -> None:
        # spawn's array: worker processes are spawned and inherit it with the data set
        self._shared = multiprocessing.get_context("spawn").Array("q", [-1] * (most_objects * capacity))
        self._capacity, self._patience = capacity, patience
        self._entries: dict[int, dict[int, _Entry]] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"_shared": self._shared, "_capacity": self._capacity, "_patience": self._patience, "_entries": {}}

    def recipes(self, objects: int) -> list[int]:
        """Recipes of the worst clips with ``objects`` objects, worst first."""
        first = (objects - 1) * self._capacity
        return [recipe for recipe in self._shared[first : first + self._capacity] if recipe >= 0]

    def note(self, objects: int, recipes: Sequence[int], losses: Sequence[float]) -> None:
        """How clips with ``objects`` objects went; NaN losses are not kept."""
        known = self._entries.setdefault(objects, {})
        for recipe, loss in zip(recipes, losses, strict=True):
            shown = known[recipe].shown + 1 if recipe in known else 0
            known[recipe] = _Entry(loss if np.isfinite(loss) else -np.inf, shown)
        worst = sorted(known, key=lambda recipe: -known[recipe].loss)
        kept = [r for r in worst if known[r].shown < self._patience and np.isfinite(known[r].loss)][: self._capacity]
        self._entries[objects] = {recipe: known[recipe] for recipe in kept}
        first = (objects - 1) * self._capacity
        self._shared[first : first + self._capacity] = kept + [-1] * (self._capacity - len(kept))

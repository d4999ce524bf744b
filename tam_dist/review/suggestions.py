"""The frames of a project that need a person most, as :mod:`tam_dist.steering.suggestions` has them, kept until it changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from storage.project_store import ProjectStore
from storage.prompt_log import LogEntry
from tam_dist.prompts import objects_in_log
from tam_dist.review.scores import UNKNOWN, Scores
from tam_dist.steering.suggestions import Scored, Spot
from tam_dist.steering.trouble import Trouble
from tam_dist.types import Prompt

#: Suggestions of one project.
_MOST = 40


@dataclass(frozen=True)
class Suggested:
    """``object`` by its name in the log."""

    spot: Spot
    object: str


class Suggestions:
    """Of one project. Any thread may ask; what looks wrong is found out of those that are shown alone, since it reads masks."""

    def __init__(self, store: ProjectStore, scores: Scores, entries: Callable[[], Sequence[LogEntry]]) -> None:
        self._store, self._scores, self._entries = store, scores, entries
        self._asking = threading.Lock()
        self._as_of: tuple[int, int] | None = None
        self._scored: Scored | None = None
        self._found: tuple[Suggested, ...] = ()
        self._reasons: dict[Spot, tuple[Trouble, str]] = {}

    def now(self) -> tuple[Suggested, ...]:
        """The worst first."""
        with self._asking:
            entries = self._entries()
            as_of = (self._scores.number, len(entries))
            if as_of != self._as_of:
                names = [o.name for o in objects_in_log(self._store.manifest.objects, entries)]
                self._scored = self._judge(entries, names)
                self._found = tuple(Suggested(spot, names[spot.column]) for spot in self._scored.spots(most=_MOST))
                self._as_of, self._reasons = as_of, {}
            return self._found

    def reason(self, spot: Spot) -> tuple[Trouble, str]:
        """What looks wrong at one of :meth:`now`'s, and the same in words. Raises :class:`StorageError`."""
        with self._asking:
            assert self._scored is not None
            if spot not in self._reasons:
                trouble = self._scored.trouble(spot)
                self._reasons[spot] = trouble, self._scored.reason(spot, trouble)
            return self._reasons[spot]

    def _judge(self, entries: Sequence[LogEntry], names: Sequence[str]) -> Scored:
        scores = self._scores.quality
        quality = np.where(scores == UNKNOWN, np.nan, scores.astype(np.float32) / 254).astype(np.float32)
        prompts = [e for e in entries if isinstance(e, Prompt) and e.undone_by is None]
        return Scored(quality, self._scores.origin.copy(), prompts, names, self._store.labels.__getitem__)

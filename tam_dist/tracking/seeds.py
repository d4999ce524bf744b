"""What the sessions of a film have in common before their first frame: the references that they start from.

A film of 1,600 shots whose objects are known from four frames had these encoded 1,600 times, which was 2 % of the work.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionStart
from tam_dist.types import Reference

#: Sets of references kept, the newest: neighbouring segments mostly share them, and each takes as much as permanent memory.
KEPT = 2


class SeededSessions:
    """Opens sessions; one whose references another had before starts from the state that these gave, with the same bits."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._states: OrderedDict[object, bytes] = OrderedDict()

    def begin(self, video: str, start: SessionStart, references: Sequence[Reference]) -> TrackingSession:
        """A session of ``video`` from ``start``; ``references`` are those that its spec wants. Raises as
        :meth:`TrackingSession.restore`.
        """
        spec, over = start.spec, start.over
        if not references or over is None or start.checkpoint is not None:
            return TrackingSession.begin(start, self._models, references)
        # Prompts never change: what their uuids, the settings and the objects' numbers say decides the state.
        key = (video, spec.settings, spec.weights, spec.objects, spec.references(over), spec.seeded(over))
        if key in self._states:
            self._states.move_to_end(key)
            return TrackingSession.restore(spec, self._models, self._states[key], over=over, given=start.given, first=True)
        session = TrackingSession.begin(start, self._models, references)
        self._states[key] = session.snapshot()
        while len(self._states) > KEPT:
            self._states.popitem(last=False)
        return session

    def clear(self) -> None:
        self._states.clear()

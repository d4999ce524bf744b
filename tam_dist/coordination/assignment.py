"""Which worker a video uses: propagators by free places, decoders and writers near them, refiners in turn."""

from __future__ import annotations

from collections.abc import Sequence

from tam_dist.coordination.calls import Executor, Role, WorkerId
from tam_dist.coordination.video import VideoRun


class Assignment:
    """A video keeps its propagator (which holds its memory), decoder (which holds its open file) and writer (which holds its
    lock); requests to refiners, which hold nothing, go round.
    """

    def __init__(self, executor: Executor, sessions_per_propagator: int) -> None:
        self._executor = executor
        self._sessions = sessions_per_propagator
        self._turn = 0

    def free_propagator(self, active: Sequence[VideoRun], own: WorkerId | None = None) -> WorkerId | None:
        """The propagator with the fewest videos, if it has a place left; ``own`` on a tie."""
        load = dict.fromkeys(self._executor.workers(Role.PROPAGATOR), 0)
        for run in active:
            if run.propagator in load:
                load[run.propagator] += 1
        best = min(load, key=lambda w: (load[w], w != own, w.number))
        return best if load[best] < self._sessions else None

    def partner(self, role: Role, run: VideoRun, active: Sequence[VideoRun]) -> WorkerId:
        """The video's decoder or writer: the one it has, as long as that can take work, else the one with the fewest videos; on
        a tie the one with the propagator's number, which executors put near it.
        """
        workers = self._executor.workers(role)
        own = run.decoder if role is Role.DECODER else run.writer
        if own is not None and own in workers:
            return own
        near = 0 if run.propagator is None else run.propagator.number % len(workers)
        load = dict.fromkeys(workers, 0)
        for other in active:
            used = other.decoder if role is Role.DECODER else other.writer
            if other is not run and used in load:
                load[used] += 1
        return min(load, key=lambda w: (load[w], w.number != near, w.number))

    def refiner(self) -> WorkerId:
        """The next one in turn."""
        workers = self._executor.workers(Role.REFINER)
        self._turn += 1
        return workers[self._turn % len(workers)]

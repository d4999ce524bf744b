"""Which worker a pass uses: propagators by free places, decoders and writers near them, refiners in turn."""

from __future__ import annotations

from collections.abc import Sequence

from tam_dist.coordination.calls import Executor, Role, WorkerId
from tam_dist.coordination.video import PassRun, VideoRun


class Assignment:
    """A pass keeps its propagator (which holds its memory) and decoder (which holds its open file), a video its writer (which
    holds its lock); requests to refiners, which hold nothing, and chunks to be encoded go round.
    """

    def __init__(self, executor: Executor, sessions_per_propagator: int) -> None:
        self._executor = executor
        self._sessions = sessions_per_propagator
        self._turn = self._encoded = 0

    def free_propagator(self, active: Sequence[VideoRun], own: WorkerId | None = None) -> WorkerId | None:
        """The propagator with the fewest passes, if it has a place left; ``own`` on a tie. It is asked after every answer, so
        it counts by numbers: to hash 100 workers each time was most of what the schedule took.
        """
        workers = {worker.number: worker for worker in self._executor.workers(Role.PROPAGATOR)}
        load = dict.fromkeys(workers, 0)
        for run in active:
            for worker in run.propagators:
                if worker.number in load:
                    load[worker.number] += 1
        preferred = None if own is None else own.number
        best = min(load, key=lambda number: (load[number], number != preferred, number))
        return workers[best] if load[best] < self._sessions else None

    def decoder(self, each: PassRun, active: Sequence[VideoRun]) -> WorkerId:
        """The pass's own, as long as that can take work; see :meth:`_partner`."""
        used = [o.decoder for run in active for o in run.open.values() if o is not each]
        return self._partner(Role.DECODER, each.decoder, each.propagator, used)

    def writer(self, run: VideoRun, place: WorkerId | None, active: Sequence[VideoRun]) -> WorkerId:
        """The video's own, as long as that can take work; see :meth:`_partner`."""
        return self._partner(Role.WRITER, run.writer, place, [other.writer for other in active if other is not run])

    def encoder(self, run: VideoRun, each: PassRun) -> WorkerId | None:
        """Where several passes of a video are under way, the next one in turn of the writers but the video's own: to encode a
        chunk takes many times as long as to write it then, and only one may write.
        """
        others = [worker for worker in self._executor.workers(Role.WRITER) if worker != run.writer]
        if not others or each.plan.backward or len(run.open) < 2:
            return None
        self._encoded += 1
        return others[self._encoded % len(others)]

    def refiner(self) -> WorkerId:
        """The next one in turn."""
        workers = self._executor.workers(Role.REFINER)
        self._turn += 1
        return workers[self._turn % len(workers)]

    def _partner(
        self, role: Role, own: WorkerId | None, propagator: WorkerId | None, used: Sequence[WorkerId | None]
    ) -> WorkerId:
        """``own`` where that is there, else the least used; on a tie the one with the propagator's number, which executors
        put near it.
        """
        workers = self._executor.workers(role)
        if own is not None and own in workers:
            return own
        near = 0 if propagator is None else propagator.number % len(workers)
        load = dict.fromkeys(workers, 0)
        for worker in used:
            if worker in load:
                load[worker] += 1
        return min(load, key=lambda w: (load[w], w.number != near, w.number))

"""Running jobs to their end in this process, and saying what became of them."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tam_dist.config import Config
from tam_dist.coordination.calls import Role, Worker
from tam_dist.coordination.events import Event, Listener, VideoEnded, Waiting, all_of
from tam_dist.coordination.feed import JobFeed
from tam_dist.coordination.inline import InlineExecutor, WorkerFactory
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.stages import StageTeller
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.errors import RunInterruptedError, TamDistError

#: How often a run looks whether it was asked to stop, seconds.
STOP_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of one video. ``error`` is set where it failed."""

    project: str
    state: VideoState
    error: Exception | None = None

    def raise_failure(self) -> None:
        """Raise what went wrong, or :class:`RunInterruptedError` where the run was stopped."""
        if self.error is not None:
            raise self.error
        if self.state is not VideoState.DONE:
            again = shlex.quote(self.project)
            raise RunInterruptedError(f"{self.project} was {self.state.value}; continue with: tam-dist resume {again}")


#: Asked at least every :data:`STOP_POLL_SECONDS`: which of the jobs (by project) are to be cancelled now.
Cancelled = Callable[[], Collection[str]]


def run_inline(
    jobs: Sequence[VideoJob],
    config: Config,
    *,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    cancelled: Cancelled | None = None,
    more: JobFeed | None = None,
) -> list[Outcome]:
    """Track ``jobs``, and those that ``more`` brings meanwhile, in this process, without Ray. ``stop``, once set, ends the run
    after the chunks under way.
    """
    jobs = list(jobs)
    executor = InlineExecutor(_workers(config))
    outcomes = OutcomeCollector()
    scheduler = Scheduler(executor, config, StageTeller(outcomes if listener is None else all_of(outcomes, listener)))
    for job in jobs:
        scheduler.add(job)
    if listener is not None:
        listener(Waiting("the models to load"))
    stopping = False
    try:
        while scheduler.busy or (more is not None and more.expected and not stopping):
            if more is not None and not stopping:
                for job in more.take(0.0 if scheduler.busy else STOP_POLL_SECONDS):
                    jobs.append(job)
                    scheduler.add(job)
            scheduler.poll(STOP_POLL_SECONDS)
            if stop is not None and stop.is_set() and not stopping:
                stopping = True
                scheduler.stop()
            for video in cancelled() if cancelled is not None else ():
                scheduler.cancel(video)
    finally:
        executor.close()
    return [outcomes.of(job) for job in jobs]


class OutcomeCollector:
    """A listener that remembers how every video ended."""

    def __init__(self) -> None:
        self._ended: dict[str, VideoEnded] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, VideoEnded):
            self._ended[event.video] = event

    def of(self, job: VideoJob) -> Outcome:
        ended = self._ended[job.project]
        error = None if ended.error is None else as_sentence(ended.error, job.uri)
        return Outcome(job.project, VideoState(ended.state), error)


def as_sentence(error: Exception, video: str) -> TamDistError:
    """The error itself, or where it is none of ours, one of ours that names the video."""
    if isinstance(error, TamDistError):
        return error
    wrapped = TamDistError(f"{video}: an unexpected {type(error).__name__} ended it, {error}; run again with --debug.")
    wrapped.__cause__ = error
    return wrapped


def _workers(config: Config) -> dict[Role, list[WorkerFactory]]:
    """One worker a role; each imports what it needs in its own thread, so that decoding starts while the models load."""

    def decoder() -> Worker:
        from tam_dist.workers.decoder import DecoderWorker

        return DecoderWorker()

    def propagator() -> Worker:
        from tam_dist.workers.propagator import PropagatorWorker

        return PropagatorWorker(config)

    def refiner() -> Worker:
        from tam_dist.workers.refiner import RefinerWorker

        return RefinerWorker(config)

    def writer() -> Worker:
        from tam_dist.workers.writer import WriterWorker

        return WriterWorker()

    return {Role.DECODER: [decoder], Role.PROPAGATOR: [propagator], Role.REFINER: [refiner], Role.WRITER: [writer]}

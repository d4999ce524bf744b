"""Running jobs to their end in this process, and saying what became of them."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from tam_dist.config import Config
from tam_dist.coordination.calls import Role, Worker
from tam_dist.coordination.events import Event, Listener, VideoEnded, Waiting, all_of
from tam_dist.coordination.feed import JobFeed
from tam_dist.coordination.inline import InlineExecutor, WorkerFactory
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.stages import StageTeller
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.errors import RunInterruptedError, TamDistError
from tam_dist.monitoring.requests import Requests

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


#: Asked at least every :data:`STOP_POLL_SECONDS`: what other processes want of the jobs, by project.
AskRequests = Callable[[], Requests]


def run_inline(
    jobs: Sequence[VideoJob],
    config: Config,
    *,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    requests: AskRequests | None = None,
    more: JobFeed | None = None,
) -> list[Outcome]:
    """Track ``jobs``, and those that ``more`` brings meanwhile, in this process, without Ray. ``stop``, once set, ends the run
    after the chunks under way.
    """
    known = {job.project: job for job in jobs}
    executor = InlineExecutor(_workers(config))
    outcomes = OutcomeCollector()
    scheduler = Scheduler(executor, config, StageTeller(outcomes if listener is None else all_of(outcomes, listener)))
    for job in known.values():
        scheduler.add(job)
    if listener is not None:
        listener(Waiting("the models to load"))
    stopping = False
    asked = PendingRequests(requests, outcomes)
    try:
        while scheduler.busy or (not stopping and (asked.look().again or (more is not None and more.expected))):
            if more is not None and not stopping:
                for job in more.take(0.0 if scheduler.busy else STOP_POLL_SECONDS):
                    known[job.project] = job
                    scheduler.add(job)
            scheduler.poll(STOP_POLL_SECONDS)
            if stop is not None and stop.is_set() and not stopping:
                stopping = True
                scheduler.stop()
            asked.look()
            for video in asked.cancel & known.keys():
                scheduler.cancel(video)
                asked.cancel.discard(video)
            for video in asked.refresh & known.keys():
                if outcomes.state(video) is None:
                    scheduler.refresh(video)
                    asked.refresh.discard(video)
            for video in asked.again if not stopping else ():
                asked.forget(video)
                scheduler.add(known[video])
    finally:
        executor.close()
    return [outcomes.of(job) for job in known.values()]


class PendingRequests:
    """What other processes asked of a run, until it is done: ``cancel`` and ``refresh`` hold projects; a driver takes a project
    out of ``cancel`` itself, and out of ``refresh`` by :meth:`told`.
    """

    def __init__(self, ask: AskRequests | None, outcomes: OutcomeCollector) -> None:
        self._ask = ask
        self._outcomes = outcomes
        self.cancel: set[str] = set()
        self.refresh: set[str] = set()
        self._told: set[str] = set()

    def look(self) -> Self:
        """For new ones."""
        new = Requests() if self._ask is None else self._ask()
        self.cancel |= new.cancel
        self.refresh |= new.refresh
        return self

    def told(self, video: str) -> None:
        """The coordinator knows that the log of ``video`` has grown, if it did not end the video the moment before."""
        self.refresh.discard(video)
        self._told.add(video)

    @property
    def again(self) -> set[str]:
        """Videos that are done, though their logs have grown, or may have before anybody knew. What ended otherwise is left as
        it is.
        """
        return {video for video in self.refresh | self._told if self._outcomes.state(video) is VideoState.DONE}

    def forget(self, video: str) -> None:
        """It is run once more."""
        self.refresh.discard(video)
        self._told.discard(video)
        self._outcomes.forget(video)


class OutcomeCollector:
    """A listener that remembers how every video ended."""

    def __init__(self) -> None:
        self._ended: dict[str, VideoEnded] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, VideoEnded):
            self._ended[event.video] = event

    def state(self, project: str) -> VideoState | None:
        """How it ended, None where it has not."""
        return VideoState(self._ended[project].state) if project in self._ended else None

    def forget(self, project: str) -> None:
        """It has not ended after all."""
        self._ended.pop(project, None)

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

"""A schedule that several drivers share: they come, submit, listen and go; the work goes on while anybody listens.

Plain code with one thread: what drivers ask is done between two polls of the scheduler, so nothing needs a lock but the
mailboxes of events.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tam_dist.config import Config, to_dict
from tam_dist.coordination.calls import Executor, WorkerId
from tam_dist.coordination.events import (
    ChunkCommitted,
    Event,
    Listener,
    StageLoad,
    VideoEnded,
    VideoStarted,
    WorkerDied,
)
from tam_dist.coordination.mailboxes import EventBatch, GivenUpError, Mailboxes
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.stages import StageTeller
from tam_dist.coordination.video import FINAL, VideoJob, VideoRun, VideoState
from tam_dist.errors import ConfigError, TamDistError

log = logging.getLogger(__name__)

#: Seconds without a word from any driver after which a service that is not to outlive them stops.
LEASE_SECONDS = 15.0
#: Settings that all who share a service must agree on, but for those of each driver's own.
_SHARED = ("models", "segmentation", "tracking", "credits", "runtime", "cluster")
_OWN = ("cluster.grow_seconds",)
_IDLE_WAIT = 1.0

_T = TypeVar("_T")


class SharedExecutor(Executor, Protocol):
    """An executor that grows with the work and whose ``wait`` can be cut short from another thread."""

    def provide(self, segments: int) -> None: ...

    def wake(self) -> None: ...


@dataclass(frozen=True)
class VideoStatus:
    """``frames_per_second``: new frames since tracking began; ``deaths``: calls lost with a worker."""

    project: str
    video: str
    state: VideoState
    paused: bool
    frames_done: int
    frames_total: int
    frames_per_second: float
    propagator: WorkerId | None
    deaths: int


@dataclass(frozen=True)
class ServiceStatus:
    videos: tuple[VideoStatus, ...]
    stages: tuple[StageLoad, ...]
    bytes_in_flight: int
    drivers: int
    detached: bool


class Service:
    """``detached``: goes on, and stays, without drivers. ``listeners`` hear every event, those of single calls
    too, in the service's thread; drivers get measurements of the stages instead."""

    def __init__(
        self,
        executor: SharedExecutor,
        config: Config,
        *,
        detached: bool = False,
        lease: float = LEASE_SECONDS,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._executor = executor
        self._config = config
        self._detached = detached
        self._stages = StageTeller(self._on_event)
        self._scheduler = Scheduler(executor, config, self._stages)
        for listener in listeners:
            self._scheduler.listen(listener)
        self._drivers = Mailboxes(lease)
        self._progress: dict[str, _Progress] = {}
        self._again: dict[str, VideoJob] = {}
        self._commands: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._broken: Exception | None = None
        self._draining = self._closing = False

    # --- for drivers, from any thread ---------------------------------------------------------------------------------------

    def submit(self, driver: str, jobs: Sequence[VideoJob], config: Config) -> None:
        """Track ``jobs`` and keep ``driver`` informed; a job under way already is joined.

        Raises :class:`ConfigError` where the service runs with other settings.
        """
        different = first_difference(self._config, config)
        if different is not None:
            raise ConfigError(
                f"The coordinator runs with {different}: use its settings, another --namespace, or wait for its end."
            )
        self._ask(lambda: self._submit(driver, jobs))

    def events(self, driver: str, after: int, timeout: float) -> EventBatch:
        """What ``driver`` has not heard, waiting for it up to ``timeout`` seconds. Also tells that the driver is alive.

        Raises whatever stopped the service, and :class:`GivenUpError` for a driver that was silent for too long.
        """
        if self._broken is not None:
            raise self._broken
        return self._drivers.take(driver, after, timeout)

    def leave(self, driver: str) -> None:
        """``driver`` is not interested any more."""
        self._drivers.leave(driver)
        self._executor.wake()

    def stop(self, videos: Collection[str] | None = None) -> None:
        """See :meth:`Scheduler.stop`."""
        self._ask(lambda: self._stop(videos))

    def cancel(self, video: str) -> None:
        """See :meth:`Scheduler.cancel`. Like ``pause`` and ``unpause`` it does nothing where the video has ended: whoever asks
        can't know that, and must not fail for it. Raises :class:`TamDistError` for a video that was never submitted.
        """
        self._ask(lambda: self._cancel(self._known(video)))

    def refresh(self, video: str) -> None:
        """See :meth:`Scheduler.refresh`. Raises :class:`TamDistError` for a video that was never submitted."""
        self._ask(lambda: self._scheduler.refresh(self._known(video)))

    def pause(self, video: str) -> None:
        self._ask(lambda: self._scheduler.pause(self._known(video)))

    def unpause(self, video: str) -> None:
        self._ask(lambda: self._scheduler.unpause(self._known(video)))

    def drain(self) -> None:
        """Take no more videos and end when those that are there have ended."""
        self._draining = True
        self._executor.wake()

    def shut_down(self) -> None:
        """End now; what is under way is replayed by the next run."""
        self._closing = True
        self._executor.wake()

    def status(self) -> ServiceStatus:
        return self._ask(self._status)

    @property
    def idle(self) -> bool:
        return not self._ask(lambda: self._scheduler.busy)

    # --- the service's own thread -------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Runs until nobody needs the service any more."""
        try:
            while not self._over():
                self._do_commands()
                if self._scheduler.busy:
                    self._scheduler.poll(_IDLE_WAIT)
                else:
                    self._executor.wait(_IDLE_WAIT)  # restarts go on without work, too
        except Exception as error:  # whatever it is, the drivers must hear of it instead of waiting for ever
            log.exception("the coordinator failed")
            self._broken = _portable(error)
            while True:
                self._do_commands()
                time.sleep(_IDLE_WAIT)
                self._drivers.give_up_the_silent()
                if not self._drivers.alive:
                    return
        finally:
            self._broken = self._broken or GivenUpError("The coordinator has ended, since nobody listened: submit again.")
            self._do_commands()
            self._executor.close()

    def _over(self) -> bool:
        if self._closing:
            return True
        if self._draining and not self._scheduler.busy:
            return True
        self._drivers.give_up_the_silent()
        if self._detached or self._drivers.alive:
            return False
        if self._scheduler.busy:
            self._stop(None)
            return False
        return True

    def _ask(self, command: Callable[[], _T]) -> _T:
        if self._broken is not None:
            raise self._broken
        answer: Future[_T] = Future()
        self._commands.put((command, answer))
        self._executor.wake()
        return answer.result(timeout=60)

    def _do_commands(self) -> None:
        while not self._commands.empty():
            command, answer = self._commands.get()
            if self._broken is not None:
                answer.set_exception(self._broken)
                continue
            try:
                answer.set_result(command())
            except TamDistError as error:
                answer.set_exception(error)

    def _submit(self, driver: str, jobs: Sequence[VideoJob]) -> None:
        if self._draining or self._closing:
            raise TamDistError("The coordinator is about to end and takes no more videos: try again in a moment.")
        self._drivers.join(driver, [job.project for job in jobs])
        self._stages.measure()  # what was done before it came
        runs = {run.job.project: run for run in self._scheduler.videos}
        for job in jobs:
            run = runs.get(job.project)
            if run is None or run.state in FINAL:
                self._scheduler.add(job)
            elif run.stopping:
                self._again[job.project] = job
        self._executor.provide(sum(run.job.segments for run in self._scheduler.videos if run.state not in FINAL))

    def _stop(self, videos: Collection[str] | None) -> None:
        for video in list(self._again if videos is None else videos):
            self._again.pop(video, None)
        self._scheduler.stop(videos)

    def _cancel(self, video: str) -> None:
        self._again.pop(video, None)
        self._scheduler.cancel(video)

    def _known(self, video: str) -> str:
        if not any(run.job.project == video for run in self._scheduler.videos):
            raise TamDistError(f"{video} was not submitted.")
        return video

    def _on_event(self, event: Event) -> None:
        match event:
            case VideoStarted():
                self._progress.setdefault(event.video, _Progress(time.monotonic()))
            case ChunkCommitted(new=True):
                self._progress[event.video].frames += event.frames
            case WorkerDied():
                self._progress.setdefault(event.video, _Progress(time.monotonic())).deaths += 1
            case VideoEnded() if event.video in self._again:  # stopped for want of drivers, and one came back
                self._scheduler.add(self._again.pop(event.video))
                return
            case VideoEnded():
                event = VideoEnded(event.video, event.state, None if event.error is None else _portable(event.error))
        self._drivers.put(event)

    def _status(self) -> ServiceStatus:
        return ServiceStatus(
            videos=tuple(self._video_status(run) for run in self._scheduler.videos),
            stages=self._stages.accounts.loads(),
            bytes_in_flight=self._stages.accounts.bytes_in_flight,
            drivers=self._drivers.count,
            detached=self._detached,
        )

    def _video_status(self, run: VideoRun) -> VideoStatus:
        progress = self._progress.get(run.job.project)
        return VideoStatus(
            run.job.project,
            run.job.uri,
            run.state,
            run.paused,
            run.frames_done,
            run.job.spec.frame_count,
            0.0 if progress is None else progress.rate,
            next(iter(run.propagators), None),
            0 if progress is None else progress.deaths,
        )


@dataclass
class _Progress:
    since: float
    frames: int = 0
    deaths: int = 0

    @property
    def rate(self) -> float:
        return self.frames / max(time.monotonic() - self.since, 1e-9)


def first_difference(running: Config, asked: Config) -> str | None:
    """The first shared setting that differs, as ``key=value`` of the running one.

    >>> from tam_dist.config import load_config
    >>> first_difference(load_config(), load_config(["cluster.decoders=3"]))
    'cluster.decoders=2, not 3'
    """
    ours, theirs = to_dict(running), to_dict(asked)
    for section in _SHARED:
        for key, value in ours[section].items():
            if theirs[section][key] != value and f"{section}.{key}" not in _OWN:
                return f"{section}.{key}={value}, not {theirs[section][key]}"
    return None


def _portable(error: Exception) -> Exception:
    """The error itself if it survives the way to a driver, which may lack a class that a worker has."""
    if isinstance(error, TamDistError):
        return error
    return TamDistError(f"an unexpected {type(error).__name__} in a worker, {error}")

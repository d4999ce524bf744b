"""What the driver of a run does beside running it: keep its report, write it where ``status`` finds it, take requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from storage.location import Location
from tam_dist.config import Config
from tam_dist.coordination.events import Event, VideoEnded, VideoStarted
from tam_dist.coordination.video import VideoJob
from tam_dist.errors import ProjectLockedError, SchemaError, StorageError
from tam_dist.monitoring.event_log import EventLog
from tam_dist.monitoring.report import REPORT, Conditions, RunRecorder, RunReport, VideoReport, read_report
from tam_dist.monitoring.requests import Desk, Requests

_log = logging.getLogger(__name__)

#: Seconds between two reports, on a disk and in an object store, where each costs a request.
LOCAL_SECONDS, REMOTE_SECONDS = 1.0, 5.0
#: Seconds between two looks for requests: a person who corrects waits for them.
LOCAL_LOOK_SECONDS, REMOTE_LOOK_SECONDS = 0.2, 1.0
#: Seconds between two updates of a display.
SHOW_SECONDS = 0.5
#: Writing reports may take this share of the driver's time; with 10,000 videos one has 2 MB.
_WRITING_SHARE = 0.2

Show = Callable[[RunReport], None]


class RunMonitor:
    """Is told of the run's events, and asked for requests, by the thread that drives it; ``show`` displays its report.

    A report that can't be written stops no video: the masks have their own ways to fail, and the next report may succeed.
    Where another driver is there already, whose run this one joins or is refused by, only that one reports and takes requests.
    """

    def __init__(self, folder: Location, conditions: Conditions, show: Show | None = None) -> None:
        self._folder = folder
        self._desk = Desk(folder)
        self._log = EventLog()
        self._second = False
        self._recorder = RunRecorder(conditions, _earlier(folder))
        self._show = show
        self._names: dict[str, str] = {}
        self._ended: set[str] = set()
        self._warned = False
        self._interval = LOCAL_SECONDS if folder.is_local else REMOTE_SECONDS
        self._look_interval = LOCAL_LOOK_SECONDS if folder.is_local else REMOTE_LOOK_SECONDS
        self._write_due = self._look_due = self._show_due = 0.0

    def __enter__(self) -> Self:
        with self._tolerant():
            self._desk.open()
        self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._write(ended=True)
        with self._tolerant():
            self._desk.close()
        if self._show is not None:
            self._show(self.report)

    def note(self, *videos: VideoReport) -> None:
        """Videos that are not being run: not looked at yet, done before, broken."""
        for video in videos:
            self._recorder.note(video)
        self.tick()

    def add(self, name: str, job: VideoJob) -> None:
        """A video that will be run."""
        self._names[name] = job.project
        self._recorder.add(name, job)
        self.tick()

    def __call__(self, event: Event) -> None:
        self._recorder(event)
        self._log(event)
        if isinstance(event, VideoEnded):
            self._ended.add(event.video)
        elif isinstance(event, VideoStarted):
            self._ended.discard(event.video)
        self.tick()

    def requests(self) -> Requests:
        """What is asked of the run's projects; see :data:`tam_dist.running.AskRequests`."""
        self.tick()
        # A run whose videos have all ended looks a last time: what came since the look before would find nobody.
        if time.monotonic() < self._look_due and len(self._ended) < len(self._names):
            return Requests()
        self._look_due = time.monotonic() + self._look_interval
        asked = Requests()
        with self._tolerant():
            asked = self._desk.take(self._names.keys())
        return Requests(*(frozenset(self._names[name] for name in names) for names in (asked.cancel, asked.refresh)))

    def tick(self) -> None:
        """Write and show what is due."""
        now = time.monotonic()
        if now >= self._write_due:
            self._write()
        if self._show is not None and now >= self._show_due:
            self._show_due = now + SHOW_SECONDS
            self._show(self.report)

    @property
    def report(self) -> RunReport:
        return self._recorder.report()

    def _write(self, *, ended: bool = False) -> None:
        if self._second:
            return
        began = time.monotonic()
        with self._tolerant():
            (self._folder / REPORT).write(self._recorder.report(ended=ended).to_json().encode())
        now = time.monotonic()
        self._write_due = now + max(self._interval, (now - began) / _WRITING_SHARE)

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except ProjectLockedError:
            self._second = True
        except StorageError as error:
            if not self._warned:  # once: a full disk would be told of every second
                _log.warning("%s", error)
            self._warned = True


def watch_project(job: VideoJob, config: Config, executor: str) -> RunMonitor:
    """The monitor of a run on one video, whose report and requests lie in its project."""
    folder = Location.parse(job.project)
    monitor = RunMonitor(folder, conditions_of(config, executor))
    monitor.add(folder.name, job)
    return monitor


def conditions_of(config: Config, executor: str) -> Conditions:
    """What the speed of a run with ``config`` depends on."""
    models, propagation = config.models, config.propagation
    size = propagation.short_side, propagation.enlarge
    return Conditions(executor, models.xmem, models.sam, config.runtime.device, *size)


def _earlier(folder: Location) -> RunReport | None:
    try:
        return read_report(folder)
    except (SchemaError, StorageError) as error:  # only its measurements are lost: a new one is written at once
        _log.warning("%s", error)
        return None

"""Tracking that the pane starts: each in a process of its own, which outlives the pane, and one at a time for a project."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from storage import lock
from storage.location import Location
from storage.project_store import ProjectStore
from tam_dist.coordination.video import FINAL
from tam_dist.due import due_work
from tam_dist.errors import ExitCode, TamDistError
from tam_dist.monitoring.report import read_report
from tam_dist.monitoring.requests import driver

#: Seconds between two looks at what is wanted.
_EVERY = 0.3


def is_driven(location: str) -> bool:
    """Whether some process tracks the project now, or is about to."""
    folder = Location.parse(location)
    if lock.holder(folder) is not None or driver(folder) is not None:
        return True
    above, _, name = location.rstrip("/").rpartition("/")
    run = Location.parse(above or "/")
    if driver(run) is None:
        return False
    report = read_report(run)  # of a run on many videos, in which this one may still have its turn
    return report is not None and any(video.name == name and video.state not in FINAL for video in report.videos)


def is_due(location: str) -> bool:
    """Whether there is anything to track."""
    work = due_work(ProjectStore.open(location, write=False))
    return work.first < work.asked.chunk_count


@dataclass
class Job:
    """``output`` is what the process says."""

    location: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]


@dataclass
class Jobs:
    """Starts ``tam-dist resume`` where it is wanted and nobody else is at it: at most ``most`` at once, in order of wishes.

    ``address`` is that of a Ray cluster, None for a process without Ray.
    """

    address: str | None = None
    most: int = 1
    due: Callable[[str], bool] = is_due
    driven: Callable[[str], bool] = is_driven
    _wanted: list[str] = field(default_factory=list)
    _running: dict[str, Job] = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False
    _thread: threading.Thread | None = None

    def want(self, location: str) -> None:
        """Have all tracked that is asked for in the project: now, or when whoever is at it has ended."""
        with self._changed:
            self._failed.pop(location, None)
            if location not in self._wanted:
                self._wanted.append(location)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="review jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def forget(self, location: str) -> None:
        """Start nothing more there: somebody has stopped it."""
        with self._changed:
            self._wanted[:] = [each for each in self._wanted if each != location]

    def state(self, location: str) -> str:
        """ "running", "waiting" for a turn, or ""."""
        if location in self._running:
            return "running"
        return "waiting" if location in self._wanted else ""

    def failure(self, location: str) -> str:
        """Why the last try failed, "" where it did not."""
        return self._failed.get(location, "")

    def close(self) -> None:
        """Starts no more; what runs goes on."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(_EVERY)
                if self._ended:
                    return
                wanted = list(self._wanted)
            for location in list(self._running):
                self._collect(location)
            for location in wanted:
                if location not in self._running and len(self._running) < self.most:
                    self._consider(location)

    def _consider(self, location: str) -> None:
        try:
            if self.driven(location):
                return
            if self.due(location):
                self._running[location] = self._start(location)
        except (TamDistError, OSError) as error:
            self._failed[location] = str(error)
        self.forget(location)

    def _start(self, location: str) -> Job:
        output = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [*self._command(), location], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        return Job(location, process, output)

    def _command(self) -> Sequence[str]:
        where = ["--executor", "inline"] if self.address is None else ["--address", self.address]
        return [sys.executable, "-m", "tam_dist.cli", "resume", "--quiet", *where]

    def _collect(self, location: str) -> None:
        job = self._running[location]
        code = job.process.poll()
        if code is None:
            return
        del self._running[location]
        job.output.seek(0)
        lines = job.output.read().decode(errors="replace").strip().splitlines()
        job.output.close()
        if code not in (ExitCode.DONE, ExitCode.INTERRUPTED):
            said = lines[-1].removeprefix("error: ") if lines else "it said nothing"
            self._failed[location] = said if code > 0 else f"The tracking process was killed (signal {-code})."

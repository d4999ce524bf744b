"""Tracking that the pane starts: one project after the other, in a process of its own that finishes what it is at without the
pane.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
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
class Jobs:
    """Has tracked what is wanted where nobody else is at it, in order of wishes.

    ``address`` is that of a Ray cluster, None to track without Ray.
    """

    address: str | None = None
    due: Callable[[str], bool] = is_due
    driven: Callable[[str], bool] = is_driven
    _wanted: list[str] = field(default_factory=list)
    _running: str = ""
    _failed: dict[str, str] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False
    _thread: threading.Thread | None = None
    _process: subprocess.Popen[str] | None = None
    _said: IO[bytes] | None = None

    def want(self, location: str) -> None:
        """Have all tracked that is asked for in the project: now, or when whoever is at it has ended."""
        with self._changed:
            self._failed.pop(location, None)
            self._append(location)
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
        if location == self._running:
            return "running"
        return "waiting" if location in self._wanted else ""

    def failure(self, location: str) -> str:
        """Why the last try failed, "" where it did not."""
        return self._failed.get(location, "")

    def close(self) -> None:
        """Starts no more; what runs goes on to its end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()

    def _append(self, location: str) -> None:
        if location not in self._wanted:
            self._wanted.append(location)

    def _work(self) -> None:
        while not self._ended:
            with self._changed:
                self._changed.wait(_EVERY)
                wanted = list(self._wanted)
            for location in wanted:
                self._consider(location)

    def _consider(self, location: str) -> None:
        with self._changed:
            if location not in self._wanted or self._ended:
                return
            self._running = location
            self._wanted.remove(location)  # before the look: what is wanted during it is wanted again
        try:
            if self.driven(location):
                with self._changed:
                    self._append(location)
            elif self.due(location):
                self._failed.update(self._track(location))
        except (TamDistError, OSError) as error:
            self._failed[location] = str(error)
        finally:
            self._running = ""

    def _track(self, location: str) -> dict[str, str]:
        """Waits for the end. By location why it failed, nothing where it did not."""
        process, said = self._tracker()
        before = said.seek(0, 2)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(location) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        if answer in (str(int(ExitCode.DONE)), str(int(ExitCode.INTERRUPTED))):
            return {}
        if not answer:
            self._process = None
            return {location: f"The process that tracked it was killed ({process.wait()}): go on with it."}
        said.seek(before)
        lines = said.read().decode(errors="replace").strip().splitlines()
        return {location: lines[-1].removeprefix("error: ") if lines else "Tracking failed."}

    def _tracker(self) -> tuple[subprocess.Popen[str], IO[bytes]]:
        """The process, started where there is none or it has ended, and the file that it writes its words to."""
        if self._process is None or self._said is None or self._process.poll() is not None:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the pane)
            where = ["--executor", "inline"] if self.address is None else ["--address", self.address]
            self._process = subprocess.Popen(  # noqa: S603 (our own module)
                [sys.executable, "-m", "tam_dist.review.tracker", "--quiet", *where],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                start_new_session=True,
            )
        return self._process, self._said

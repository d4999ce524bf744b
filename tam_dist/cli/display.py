"""Progress of a run on one video: redrawn on a terminal, a plain line now and then elsewhere, nothing with --quiet."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

from tam_dist.cli.output import clock, count, is_terminal, say
from tam_dist.coordination.events import (
    ChunkCommitted,
    Event,
    ShotsScanned,
    VideoReplanned,
    VideoReplayed,
    VideoStarted,
    Waiting,
    WorkerDied,
)

#: Seconds between two plain lines.
PLAIN_EVERY = 10.0
#: Frames per second is an average over the chunks of so many seconds, so that it follows what happens now.
_WINDOW = 20.0


class Speed:
    """Frames per second of late.

    >>> speed = Speed(); speed.add(0, at=0.0); speed.add(32, at=2.0); speed.per_second
    16.0
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._frames = 0

    def add(self, frames: int, *, at: float | None = None) -> None:
        """``frames`` more are done; ``at`` is in seconds of any clock."""
        now = time.monotonic() if at is None else at
        self._frames += frames
        self._marks.append((now, self._frames))
        while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW:
            self._marks.popleft()

    @property
    def per_second(self) -> float:
        (first, before), (last, after) = self._marks[0], self._marks[-1]
        return (after - before) / (last - first) if last > first else 0.0


class VideoProgress:
    """A listener for the events of one video's run; use it as a context around the run."""

    def __init__(self, name: str, frame_count: int, *, quiet: bool) -> None:
        self._name = name
        self._total = frame_count
        self._quiet = quiet
        self._speed = Speed()
        self._last_line = time.monotonic()
        self._waiting_for = ""
        self._bar = None if quiet or not is_terminal() else _Bar(name, frame_count)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Waiting():
                self._wait(event.what)
            case ShotsScanned():
                self._wait("its shots to be found")
                self._show_scanned(event.frames)
            case VideoStarted():
                self._wait("")
                self._speed.add(0)
                if event.committed:
                    self._note(f"{self._name}: {count(event.committed, 'chunk')} done, going on at chunk {event.next_chunk}")
            case ChunkCommitted():
                self._speed.add(event.frames if event.new else 0)
                self._show(event.frames_done)
            case WorkerDied():
                self._note(f"{self._name}: {event.worker} died")
            case VideoReplanned():
                self._note(f"{self._name}: taking up a correction")
                self._show(event.frames_done)
            case VideoReplayed():
                self._note(f"{self._name}: going back to the newest checkpoint")

    def _show(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done, self._speed.per_second)
        elif not self._quiet and time.monotonic() - self._last_line >= PLAIN_EVERY:
            self._last_line = time.monotonic()
            speed = self._speed.per_second
            left = clock((self._total - done) / speed) if speed else "?"
            say(f"{self._name}: {done}/{self._total} frames, {speed:.1f} frames/s, {left} left")

    def _show_scanned(self, frames: int) -> None:
        if self._bar is not None:
            self._bar.describe(f"{self._name}, looking for shots in {frames}/{self._total} frames")

    def _wait(self, what: str) -> None:
        """Say what is waited for, once; "" for nothing any more."""
        if what != self._waiting_for and self._bar is not None:
            self._bar.describe(f"{self._name}, waiting for {what}" if what else self._name)
        elif what != self._waiting_for and what:
            self._note(f"{self._name}: waiting for {what}")
        self._waiting_for = what

    def _note(self, text: str) -> None:
        if not self._quiet:
            say(text)


class _Bar:
    """One line, redrawn by rich (which honours NO_COLOR)."""

    def __init__(self, name: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} frames, {task.fields[speed]:.1f} frames/s,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(name, total=total, speed=0.0)

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def describe(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def update(self, done: int, speed: float) -> None:
        self._progress.update(self._task, completed=done, speed=speed)

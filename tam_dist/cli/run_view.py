"""A run's report as text: a display that is redrawn while it runs, plain lines, and the tables of ``status``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tam_dist.cli.display import PLAIN_EVERY
from tam_dist.cli.output import clock, is_terminal, say
from tam_dist.coordination.video import FINAL, VideoState
from tam_dist.monitoring.marks import FAILED

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    from tam_dist.monitoring.objects import ObjectReport
    from tam_dist.monitoring.report import RunReport, VideoReport

#: Rows of active videos in the redrawn display; a terminal is not higher.
_MAX_ROWS = 12
#: Failures told as they come; all are listed in a file.
MAX_FAILURES_TOLD = 20
_COLOURS = {"done": "green", "failed": "red", "cancelled": "yellow", "stopped": "yellow", "interrupted": "yellow"}


def summary(report: RunReport) -> str:
    """One line: videos, frames, speed, time left."""
    frames_done = sum(video.frames_done for video in report.videos)
    frames_total = sum(video.frames_total for video in report.videos)
    ended = sum(count for state, count in report.counts.items() if state in FINAL)
    parts = [f"{ended}/{len(report.videos)} videos", f"{frames_done}/{frames_total} frames"]
    if report.ended is not None:
        parts.append(f"{report.new_frames / max(report.ended - report.started, 1e-9):.1f} frames/s")
    elif report.frames_per_second:
        open_videos = [video for video in report.videos if video.state not in FINAL]
        left = sum(video.frames_total - video.frames_done for video in open_videos) / report.frames_per_second
        parts += [f"{report.frames_per_second:.1f} frames/s", f"{clock(left)} left"]
    if report.waiting_for:
        parts.append(f"waiting for {report.waiting_for}")
    for state in (VideoState.FAILED, VideoState.CANCELLED):
        if state in report.counts:
            parts.append(f"{report.counts[state]} {state}")
    return ", ".join(parts)


def video_table(videos: tuple[VideoReport, ...]) -> Table:
    """A row for each video."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("video", "left"), ("state", "left"), ("frames", "right"), ("", "right"), ("frames/s", "right")):
        table.add_column(heading, justify=justify, no_wrap=heading != "video")  # type: ignore[arg-type]
    for video in videos:
        share = f"{video.frames_done / video.frames_total:.0%}" if video.frames_total else ""
        table.add_row(
            Text(video.name),
            Text(video.state, style=_COLOURS.get(video.state, "")),
            f"{video.frames_done}/{video.frames_total}" if video.frames_total else "",
            share,
            f"{video.frames_per_second:.1f}" if video.frames_per_second else "",
        )
    return table


def object_table(objects: tuple[ObjectReport, ...]) -> Table:
    """A row for each object: how sure its masks are, and which frame to look at first."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("object", "tracked", "quality", "poor", "worst frame", "refined", "absent"):
        table.add_column(heading, justify="left" if heading == "object" else "right")
    for each in objects:
        counts = [str(n) if n else "" for n in (each.poor, each.refined, each.absent)]
        quality = "" if each.quality is None else f"{each.quality:.2f}"
        worst = "" if each.worst is None else str(each.worst)
        table.add_row(Text(each.name), str(each.tracked), quality, counts[0], worst, *counts[1:])
    return table


def reasons(videos: Iterable[VideoReport]) -> list[Text]:
    """A line for each video that has one; in a table's column they would be a word wide."""
    from rich.text import Text

    return [Text(f"{video.name}: {video.reason}") for video in videos if video.reason]


def stage_table(report: RunReport) -> Table:
    """A row for each kind of worker: how busy, how much waits."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("stage", "workers", "busy", "queued", "calls", "seconds"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage in report.stages:
        row = (stage.workers, f"{stage.busy:.0%}", stage.queued, stage.calls, f"{stage.seconds:.1f}")
        table.add_row(stage.role.value, *map(str, row))
    return table


def live_view(report: RunReport) -> Group:
    """The active videos and the total, as many as fit on a screen."""
    from rich.console import Group

    active = tuple(video for video in report.videos if video.state in ACTIVE)
    rows = [video_table(active[:_MAX_ROWS])] if active else []
    more = [f"… and {len(active) - _MAX_ROWS} more"] if len(active) > _MAX_ROWS else []
    return Group(*rows, *more, f"total: {summary(report)}")


#: States of videos that a worker has to do with.
ACTIVE = (VideoState.STARTING, VideoState.TRACKING, VideoState.CLOSING)


def error_console() -> Console:
    """For everything that is not a result."""
    from rich.console import Console

    return Console(stderr=True)


class RunDisplay:
    """Shows reports while a run goes on (a :data:`tam_dist.monitoring.monitor.Show`); use it as a context around the run.

    On a terminal it is redrawn; elsewhere there is a plain line every ten seconds. Failures are told as they come.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._told: set[str] = set()
        self._next_line = time.monotonic() + PLAIN_EVERY
        self._live = None
        if not quiet and is_terminal():
            from rich.live import Live

            self._live = Live(console=error_console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, report: RunReport) -> None:
        if self._quiet:
            return
        for video in report.videos:
            if video.state == VideoState.FAILED and video.name not in self._told:
                self._told.add(video.name)
                self._tell(f"{video.name} failed: {video.reason}")
        if self._live is not None:
            self._live.update(live_view(report), refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_EVERY
            say(summary(report))

    def _tell(self, failure: str) -> None:
        """The first few; ten thousand lines of a corpus in the wrong form would hide what they all say."""
        if len(self._told) <= MAX_FAILURES_TOLD:
            self._line(failure)
        elif len(self._told) == MAX_FAILURES_TOLD + 1:
            self._line(f"further failures are not told here: their reasons will be in {FAILED}")

    def _line(self, text: str) -> None:
        if self._live is None:
            say(text)
        else:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

"""What the page is told of a project, as plain data that turns into JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from storage.location import Location
from storage.prompt_log import LogEntry
from tam_dist.monitoring.report import read_report
from tam_dist.monitoring.requests import driver
from tam_dist.prompts import objects_in_log, renamed
from tam_dist.review.jobs import Jobs, is_driven
from tam_dist.review.opened import Draft, Opened
from tam_dist.review.places import Place
from tam_dist.types import Absent, Box, Clicks, Prompt, TrackedObject

#: Columns of a timeline, at most: more than a screen has pixels.
_MOST_COLUMNS = 4096


@dataclass(frozen=True)
class ObjectView:
    """``name`` is its first one, by which the log knows it; ``shown`` what people call it now."""

    id: int
    name: str
    shown: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class ProjectRow:
    """One line of the list. ``worst`` is a frame worth a picture; ``failure`` a sentence where tracking went wrong."""

    id: str
    name: str
    state: str
    live: bool
    frames_done: int
    frames_total: int
    frames_per_second: float
    objects: int
    quality: float | None
    failure: str


@dataclass(frozen=True)
class ProjectView:
    """``number`` counts changes of the masks, ``entries`` those of the log; ``stale`` and ``done`` are ranges of frames, last
    included. ``draft``: nothing has been asked for yet, and so there is no project.
    """

    id: str
    name: str
    frames: int
    width: int
    height: int
    fps: float
    chunk: int
    version: str
    objects: tuple[ObjectView, ...]
    state: str
    reason: str
    live: bool
    job: str
    frames_done: int
    frames_per_second: float
    number: int
    entries: int
    changed: dict[int, int]
    done: tuple[tuple[int, int], ...]
    stale: tuple[tuple[int, int], ...]
    quality: float | None
    draft: bool = False


@dataclass(frozen=True)
class MarkView:
    """A prompt in force, for the timeline: frames ``first`` to ``last``, both included."""

    uuid: str
    object: str
    kind: str
    purpose: str
    author: str
    time: float
    first: int
    last: int
    points: tuple[tuple[float, float, int], ...] = ()
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class LaneView:
    """Base64 of uint8, one for each column; see :class:`tam_dist.review.scores.Lane`."""

    object: str
    quality: str
    marks: str
    gone: str


@dataclass(frozen=True)
class TimelineView:
    """Frames ``first`` to ``stop`` (exclusive) in ``columns`` columns."""

    first: int
    stop: int
    columns: int
    lanes: tuple[LaneView, ...]


def objects_view(objects: Sequence[TrackedObject], entries: Sequence[LogEntry]) -> tuple[ObjectView, ...]:
    """Those of the project, and those that the log has added to them since."""
    known = objects_in_log(objects, entries)
    return tuple(ObjectView(o.id, o.name, s.name, o.colour) for o, s in zip(known, renamed(known, entries), strict=True))


def project_row(opened: Opened, jobs: Jobs) -> ProjectRow:
    status = opened.store.status()
    live = is_driven(opened.place.location)
    failure = jobs.failure(opened.place.location) or (status.reason if status.state == "failed" else "")
    return ProjectRow(
        opened.place.id,
        opened.place.name,
        _state(status.state, live),
        live,
        status.frames_done,
        status.frames_total,
        _speed(opened) if live else 0.0,
        len(status.objects),
        opened.scores.mean_quality(),
        failure,
    )


def broken_row(place: Place, reason: str) -> ProjectRow:
    """Of a project that can't be opened."""
    return ProjectRow(place.id, place.name, "damaged", False, 0, 0, 0.0, 0, None, reason)


def project_view(opened: Opened, jobs: Jobs, since: int = -1) -> ProjectView:
    """As of now; ``changed`` are the revisions of the chunks that changed after ``since``."""
    opened.scores.refresh(wait=not opened.scores.taken_in and opened.manifest.frame_count < 20_000)
    number = opened.scores.number
    manifest, status, entries = opened.manifest, opened.store.status(), opened.entries()
    live = is_driven(opened.place.location)
    video, size = manifest.source, manifest.chunk_size
    done = opened.scores.done
    return ProjectView(
        id=opened.place.id,
        name=opened.place.name,
        frames=video.frame_count,
        width=video.width,
        height=video.height,
        fps=float(video.fps),
        chunk=size,
        version=video.fingerprint[:16],
        objects=objects_view(manifest.objects, entries),
        state=_state(status.state, live),
        reason=jobs.failure(opened.place.location) or status.reason,
        live=live,
        job=jobs.state(opened.place.location),
        frames_done=status.frames_done,
        frames_per_second=_speed(opened) if live else 0.0,
        number=number,
        entries=len(entries),
        changed=opened.scores.changed_since(since),
        done=_ranges(np.flatnonzero(done), size, video.frame_count),
        stale=_ranges(sorted(opened.stale()), size, video.frame_count),
        quality=opened.scores.mean_quality(),
    )


def draft_view(draft: Draft) -> ProjectView:
    video = draft.video
    return ProjectView(
        draft.id,
        draft.name,
        video.frame_count,
        video.width,
        video.height,
        float(video.fps),
        16,
        video.fingerprint[:16],
        (),
        "new",
        "",
        False,
        "",
        0,
        0.0,
        0,
        0,
        {},
        (),
        (),
        None,
        draft=True,
    )


def mark_view(prompt: Prompt) -> MarkView:
    data = prompt.data
    first, last = (data.first, data.last) if isinstance(data, Absent) else (prompt.frame, prompt.frame)
    points = tuple((p.x, p.y, int(p.positive)) for p in data.points) if isinstance(data, Clicks) else ()
    box = (data.x0, data.y0, data.x1, data.y1) if isinstance(data, Box) else None
    return MarkView(
        prompt.uuid, prompt.object_name, data.kind, prompt.purpose, prompt.author, prompt.time, first, last, points, box
    )


def timeline_view(opened: Opened, first: int, stop: int, columns: int) -> TimelineView:
    """Raises :class:`ValueError` where there are no such frames."""
    if not 0 <= first < stop <= opened.video.frame_count:
        raise ValueError(f"frames {first} to {stop} are not in the video")
    columns = max(1, min(columns, stop - first, _MOST_COLUMNS))
    lanes = opened.scores.lanes(first, stop, columns)
    named = zip(opened.manifest.objects, lanes, strict=False)  # an object may just have been added
    return TimelineView(
        first, stop, columns, tuple(LaneView(o.name, _b64(e.quality), _b64(e.marks), _b64(e.gone)) for o, e in named)
    )


def _b64(data: np.ndarray) -> str:
    return base64.b64encode(data.tobytes()).decode()


def _state(state: str, live: bool) -> str:
    if live:
        return "tracking"
    return "interrupted" if state == "running" else state


def _speed(opened: Opened) -> float:
    """Frames per second that the project's run reports; 0 where none does."""
    for folder, name in _reports(opened):
        if driver(folder) is None:
            continue
        report = read_report(folder)
        for video in () if report is None else report.videos:
            if name is None or video.name == name:
                return video.frames_per_second
    return 0.0


def _reports(opened: Opened) -> list[tuple[Location, str | None]]:
    """Where a run that tracks the project would keep its report: in it, or in the folder it lies in."""
    location = opened.place.location.rstrip("/")
    return [(Location.parse(location), None), (Location.parse(location.rpartition("/")[0] or "/"), opened.place.name)]


def _ranges(chunks: Iterable[int], size: int, frames: int) -> tuple[tuple[int, int], ...]:
    """Chunks in order as ranges of frames.

    >>> _ranges([0, 1, 4], 8, 36)
    ((0, 15), (32, 35))
    """
    found: list[tuple[int, int]] = []
    for chunk in map(int, chunks):
        first, last = chunk * size, min((chunk + 1) * size, frames) - 1
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return tuple(found)

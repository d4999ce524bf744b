"""How far a project, or a folder of projects, is: from its files alone, whoever is writing them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from storage import lock
from storage.location import Location
from storage.manifest import MANIFEST
from storage.project_store import ProjectStore
from tam_dist.coordination.video import FINAL
from tam_dist.cuts import known_cuts
from tam_dist.errors import ProjectError
from tam_dist.monitoring.objects import ObjectReport, object_reports
from tam_dist.monitoring.report import RunReport, VideoReport, read_report
from tam_dist.monitoring.requests import driver
from tam_dist.prompts import renamed

#: State of a video that a run which is gone left behind; the next run continues it.
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class FolderStatus:
    """``report`` is the run's, None where none was made; ``live`` whether it still goes on; ``writer`` names its process;
    ``objects`` and ``cuts``, the frames known to begin a shot, are a single project's.
    """

    where: str
    videos: tuple[VideoReport, ...]
    report: RunReport | None
    writer: str | None
    objects: tuple[ObjectReport, ...] = ()
    cuts: tuple[int, ...] = ()

    @property
    def live(self) -> bool:
        return self.writer is not None

    @property
    def sentence(self) -> str:
        """What people should know about the whole."""
        if self.writer is not None:
            return f"Being written by {self.writer}."
        if self.report is not None and self.report.ended is None:
            return "The run's process is gone: run the same command again to continue."
        left = sum(video.state not in FINAL - {"stopped", "failed", "cancelled"} for video in self.videos)
        return f"{left} of {len(self.videos)} are not done." if left else "All done."


def look(where: str) -> FolderStatus:
    """As of now. Raises :class:`ProjectError` where there is neither a project nor a run, :class:`StorageError`."""
    folder = Location.parse(where)
    if (folder / MANIFEST).exists():
        store = ProjectStore.open(folder, write=False)
        objects = object_reports(
            [o.name for o in renamed(store.manifest.objects, store.entries())], store.quality[:], store.origin[:]
        )
        return replace(_look_at_project(folder), objects=objects, cuts=known_cuts(store))
    report = read_report(folder)
    if report is None or ProjectStore.remains(folder):
        return _look_at_projects(folder)
    writer = lock.holder(folder)
    if writer is None:
        videos = (v if v.state in FINAL else replace(v, state=INTERRUPTED, frames_per_second=0.0) for v in report.videos)
        report = replace(report, videos=tuple(videos))
    return FolderStatus(where, report.videos, report, None if writer is None else str(writer))


def _look_at_project(folder: Location) -> FolderStatus:
    """What the project's files say; of a run that tracks it alone also its speed, and what it does before anything is written:
    until Ray had started such a run was taken for a dead one.
    """
    store = ProjectStore.open(folder, write=False)
    status, report = store.status(), read_report(folder)
    video = VideoReport(
        folder.name, store.manifest.source.uri, status.state, status.frames_done, status.frames_total, reason=status.reason
    )
    leader = None if report is None else driver(folder)
    for reported in () if report is None else report.videos:
        video = replace(video, frames_per_second=reported.frames_per_second)
        if leader is not None and status.writer is None:
            video = replace(video, state=reported.state, reason=reported.reason)
    writer = status.writer or leader
    if report is not None:
        report = replace(report, videos=(video,))
    return FolderStatus(str(folder), (video,), report, None if writer is None else str(writer))


def _look_at_projects(folder: Location) -> FolderStatus:
    """Those of a folder that has no run of its own."""
    if ProjectStore.remains(folder):
        raise ProjectError(f"{folder} has the files of a project but no {MANIFEST}: restore that file from a copy.")
    found = [_look_at_project(folder / name) for name in folder.children() if (folder / name / MANIFEST).exists()]
    if not found:
        raise ProjectError(f"{folder} is neither a project nor the folder of a run: check the path.")
    writer = next((each.writer for each in found if each.live), None)
    return FolderStatus(str(folder), tuple(video for each in found for video in each.videos), None, writer)

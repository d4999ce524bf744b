"""How far a project, or a folder of projects, is: from its files alone, whoever is writing them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from storage import lock
from storage.location import Location
from storage.manifest import MANIFEST
from storage.project_store import ProjectStore
from tam_dist.coordination.video import FINAL
from tam_dist.errors import ProjectError
from tam_dist.monitoring.report import RunReport, VideoReport, read_report

#: State of a video that a run which is gone left behind; the next run continues it.
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class FolderStatus:
    """``report`` is the run's, None where none was made; ``live`` whether it still goes on; ``writer`` names its process."""

    where: str
    videos: tuple[VideoReport, ...]
    report: RunReport | None
    writer: str | None

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
    report = read_report(folder)
    if (folder / MANIFEST).exists():
        project = _of_project(folder)
        videos = tuple(replace(project, frames_per_second=v.frames_per_second) for v in report.videos) if report else (project,)
    elif report is not None and not ProjectStore.remains(folder):
        videos = report.videos
    else:
        videos = tuple(_of_project(folder / name) for name in folder.children() if (folder / name / MANIFEST).exists())
        if ProjectStore.remains(folder):
            raise ProjectError(f"{where} has the files of a project but no {MANIFEST}: restore that file from a copy.")
        if not videos:
            raise ProjectError(f"{where} is neither a project nor the folder of a run: check the path.")
    holder = lock.holder(folder)
    if holder is None and report is not None:
        videos = tuple(v if v.state in FINAL else replace(v, state=INTERRUPTED, frames_per_second=0.0) for v in videos)
        report = replace(report, videos=videos)
    return FolderStatus(where, videos, report, None if holder is None else str(holder))


def _of_project(folder: Location) -> VideoReport:
    store = ProjectStore.open(folder, write=False)
    status = store.status()
    uri = store.manifest.source.uri
    return VideoReport(folder.name, uri, status.state, status.frames_done, status.frames_total, reason=status.reason)

"""Telling the run that tracks a project, of whichever process, that its prompt log has grown."""

from __future__ import annotations

from storage.location import Location
from tam_dist.addresses import parent
from tam_dist.coordination.video import FINAL
from tam_dist.errors import SchemaError
from tam_dist.monitoring.report import read_report
from tam_dist.monitoring.requests import ask_to_refresh, driver


def tell_run(project: Location) -> bool:
    """Whether there is one that tracks the project, and was told: a run of this video alone, whose desk lies in the project,
    or one of many, whose desk lies beside it. Raises :class:`StorageError`.
    """
    for folder in (project, *_beside(project)):
        if driver(folder) is not None and _tracks(folder, project.name):
            ask_to_refresh(folder, project.name)
            return True
    return False


def _beside(project: Location) -> tuple[Location, ...]:
    """The folder that the project lies in; a bucket lies in none."""
    folder = parent(str(project).rstrip("/"))
    return () if folder.endswith(":/") else (Location.parse(folder),)


def _tracks(folder: Location, name: str) -> bool:
    """One that has not reported the video yet, or is done with it, reads the log when it next opens the project."""
    try:
        report = read_report(folder)
    except SchemaError:
        return True  # its driver writes a new one in a moment
    states = {video.name: video.state for video in report.videos} if report is not None and report.ended is None else {}
    return states.get(name) not in (None, *FINAL)

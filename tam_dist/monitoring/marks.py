"""Telling a run's own files from a user's of the same name, because a run replaces and removes them.

``run failed.jsonl --out .`` once deleted the corpus that it was given.
"""

from __future__ import annotations

from storage.location import Location
from storage.project_store import ProjectStore
from tam_dist.errors import ProjectExistsError
from tam_dist.monitoring.report import REPORT
from tam_dist.monitoring.requests import REQUESTS, is_request
from tam_dist.strict_json import parse

#: The list of what could not be tracked, beside the report.
FAILED = "failed.jsonl"
FAILED_FIELDS = ("line", "video", "name", "reason")
_REPORT_FIELDS = {"started", "updated", "conditions", "videos", "schema_version"}


def refuse_foreign(folder: Location) -> None:
    """Raise :class:`ProjectExistsError` where ``folder`` holds a file of somebody else under a name that a run writes."""
    for name in (REPORT, FAILED):
        data = (folder / name).read()
        if data and not (_is_report(data) if name == REPORT else _is_failed(data)):
            raise ProjectExistsError(f"{folder / name} was not written by tam-dist: move it, or choose another --out.")
    for name in (folder / REQUESTS).children():
        if not is_request(name):
            raise ProjectExistsError(f"{folder / REQUESTS / name} is not tam-dist's: move it, or choose another --out.")


def refuse_run(folder: Location) -> None:
    """Raise :class:`ProjectExistsError` where ``folder`` holds the projects of a run, and so can't be a project itself."""
    data = (folder / REPORT).read()
    if data and _is_report(data) and not ProjectStore.exists(folder) and not is_of_one_video(data, folder.name):
        raise ProjectExistsError(f"{folder} is the folder of a run on many videos: choose a folder in it, or another --out.")


def is_of_one_video(report: bytes, name: str) -> bool:
    """Whether a report is of one video, whose project of that ``name`` lies, or lay until it was discarded, in its folder."""
    try:
        content = parse(report)
    except ValueError:
        return False
    videos = content.get("videos") if isinstance(content, dict) else None
    return isinstance(videos, list) and [v.get("name") for v in videos if isinstance(v, dict)] == [name]


def _is_report(data: bytes) -> bool:
    try:
        content = parse(data)
    except ValueError:
        return False
    return isinstance(content, dict) and content.keys() >= _REPORT_FIELDS


def _is_failed(data: bytes) -> bool:
    """Every line has exactly the fields of a :class:`tam_dist.corpus.run.FailedVideo`; a corpus has no ``reason``."""
    try:
        lines = [parse(line) for line in data.splitlines() if line.strip()]
    except ValueError:
        return False
    return all(isinstance(line, dict) and line.keys() == set(FAILED_FIELDS) for line in lines)

"""Finding the run that tracks something, to ask it to stop."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from storage import lock
from storage.location import Location
from storage.manifest import MANIFEST
from tam_dist.coordination.video import FINAL
from tam_dist.errors import ConfigError, ProjectError
from tam_dist.monitoring.report import RunReport, read_report
from tam_dist.monitoring.requests import ask_to_cancel, driver


def cancel(where: str, names: Sequence[str] | None = None) -> list[str]:
    """Ask the run that writes ``where`` to cancel the videos of these names, or all of them; returns the names.

    ``where`` is the folder of a run, one of its projects, or a folder whose projects are tracked by runs of their own. Raises
    :class:`ProjectError` where nothing is being tracked there, :class:`ConfigError` for a name that the run doesn't have.
    """
    folder = Location.parse(where)
    if _live_report(folder) is None and not names and _live_report(_parent(folder)) is not None:
        folder, names = _parent(folder), [folder.name]
    runs = _runs(folder)
    if not runs:
        raise ProjectError(f"Nothing is being tracked in {where}: there is nothing to cancel.")
    chosen = list(names or runs)
    for name in chosen:
        if name not in runs:
            near = difflib.get_close_matches(name, runs, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "tam-dist status lists those that are."
            raise ConfigError(f"{name!r} is not being tracked in {folder}; {hint}")
    for run in {str(run): run for name, run in runs.items() if name in chosen}.values():
        ask_to_cancel(run, names and [name for name in chosen if runs[name] is run])
    return chosen


def _runs(folder: Location) -> dict[str, Location]:
    """The folder of the run that tracks each video in ``folder``, by the video's name."""
    report = _live_report(folder)
    if report is not None:
        return {video.name: folder for video in report.videos if video.state not in FINAL}
    inside = [folder / name for name in folder.children() if (folder / name / MANIFEST).exists()]
    return {each.name: each for each in inside if _live_report(each) is not None}


def _live_report(folder: Location) -> RunReport | None:
    report = read_report(folder)
    return None if report is None or (lock.holder(folder) or driver(folder)) is None else report


def _parent(folder: Location) -> Location:
    return Location.parse(str(folder).rstrip("/").rpartition("/")[0] or ".")

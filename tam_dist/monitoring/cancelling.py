"""Finding the run that tracks something, to ask it to stop."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from storage import lock
from storage.location import Location
from tam_dist.coordination.video import FINAL
from tam_dist.errors import ConfigError, ProjectError
from tam_dist.monitoring.report import RunReport, read_report
from tam_dist.monitoring.requests import ask_to_cancel


def cancel(where: str, names: Sequence[str] | None = None) -> list[str]:
    """Ask the run that writes ``where`` to cancel the videos of these names, or all of them; returns the names.

    ``where`` is the folder of a run, or one of its projects. Raises :class:`ProjectError` where nothing is being tracked
    there, :class:`ConfigError` for a name that the run doesn't have.
    """
    folder = Location.parse(where)
    report = _live_report(folder)
    if report is None and not names:
        folder, names = _parent(folder), [folder.name]
        report = _live_report(folder)
    if report is None:
        raise ProjectError(f"Nothing is being tracked in {where}: there is nothing to cancel.")
    open_names = [video.name for video in report.videos if video.state not in FINAL]
    chosen = list(names or open_names)
    for name in chosen:
        if name not in open_names:
            near = difflib.get_close_matches(name, open_names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "tam-dist status lists those that are."
            raise ConfigError(f"{name!r} is not being tracked in {folder}; {hint}")
    ask_to_cancel(folder, names and chosen)
    return chosen


def _live_report(folder: Location) -> RunReport | None:
    report = read_report(folder)
    return None if report is None or lock.holder(folder) is None else report


def _parent(folder: Location) -> Location:
    return Location.parse(str(folder).rstrip("/").rpartition("/")[0] or ".")

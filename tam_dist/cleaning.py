"""Giving back the disk space of what finished projects keep for later corrections."""

from __future__ import annotations

from dataclasses import dataclass

from storage.location import Location
from storage.project_store import ProjectStore
from tam_dist.errors import ProjectError, TamDistError


@dataclass(frozen=True)
class Cleaned:
    """Of one project: the ``freed`` bytes, or why it was left alone."""

    project: str
    freed: int = 0
    left_alone: str | None = None


def clean(where: str, keep_bytes: int = 0) -> list[Cleaned]:
    """Remove the checkpoints of the project at ``where``, or of each below it, until they take at most ``keep_bytes``.

    Masks and prompts stay. A project that isn't done needs its checkpoints and is left alone, as is one that is being written
    or damaged. Raises :class:`ProjectError` where there is no project.
    """
    if keep_bytes < 0:
        raise ProjectError(f"{keep_bytes} bytes can't be kept: give 0 or more.")
    folder = Location.parse(where)
    if ProjectStore.exists(folder):
        return [_clean_one(folder, keep_bytes)]
    projects = [folder / name for name in folder.children() if ProjectStore.exists(folder / name)]
    if not projects:
        raise ProjectError(f"{where} is neither a project nor a folder of projects: check the path.")
    return [_clean_one(project, keep_bytes) for project in projects]


def _clean_one(project: Location, keep_bytes: int) -> Cleaned:
    try:
        state = ProjectStore.open(project, write=False).status().state
        if state != "done":
            return Cleaned(str(project), left_alone=f"it is {state} and needs them to go on")
        with ProjectStore.open(project, write=True) as store:
            return Cleaned(str(project), store.shrink_checkpoints(keep_bytes))
    except TamDistError as error:  # one broken project keeps nobody from cleaning the others
        return Cleaned(str(project), left_alone=str(error))

"""Making a project's masks once more from what was asked for, and from what is on record of when that was learnt."""

from __future__ import annotations

from pathlib import Path

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.replay import copy_asked


def replayed(project: tam_dist.Project, out: Path) -> tam_dist.Project:
    """A project at ``out`` with the prompt log and the track record of ``project``, tracked from nothing."""
    copy_asked(ProjectStore.open(project.location, write=False), out)
    return tam_dist.resume(out)

"""Making a project's masks once more from what was asked for, and from what is on record of when that was learnt."""

from __future__ import annotations

from pathlib import Path

import tam_dist
from storage.location import Location
from storage.project_store import ProjectStore
from storage.track_record import TrackRecord


def replayed(project: tam_dist.Project, out: Path) -> tam_dist.Project:
    """A project at ``out`` with the prompt log and the track record of ``project``, tracked from nothing."""
    source = ProjectStore.open(project.location, write=False)
    with ProjectStore.create(out, source.manifest, source.pts) as store:
        store.append_entries(source.entries())
        for edition in TrackRecord(Location.parse(project.location)).read():
            store.append_edition(edition)
    return tam_dist.resume(out)

"""The cuts of a project's video that are known, without looking at the video."""

from __future__ import annotations

from storage.project_store import ProjectStore
from tam_dist.media.shots import cuts_of


def known_cuts(store: ProjectStore) -> tuple[int, ...]:
    """The frames that begin a shot, ascending, as of now: those found while tracking, and, where the video is tracked by its
    shots, before. None of projects in which nobody looked, and of those of versions that did not.
    """
    before = {cut.frame for cut in cuts_of(store.shots())}
    during = {cut for record in store.records().values() for cut in record.cuts or ()}
    return tuple(sorted(before | during))


def are_known(store: ProjectStore) -> bool:
    """Whether the cuts of the whole video are."""
    frames = store.manifest.frame_count
    if any(scan.start == 0 and scan.stop == frames for scan in store.shots()):
        return True
    found = store.records().values()
    return len(found) == store.manifest.chunk_count and all(record.cuts is not None for record in found)

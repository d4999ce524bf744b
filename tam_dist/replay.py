"""Making a project's masks once more, from what was asked for and from what is on record of when that was learnt.

The masks are a function of video, prompt log, track record, weights and settings. So whoever doubts that a corrected project's
masks are what its log says tracks it again beside itself and compares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from storage.project_store import ProjectStore
from tam_dist.config import from_dict
from tam_dist.coordination.events import ChunkCommitted, Event
from tam_dist.due import due_work
from tam_dist.errors import ProjectError
from tam_dist.preparation import job_of
from tam_dist.running import run_inline

#: Hears how many of how many frames are tracked.
Tracked = Callable[[int, int], None]


def copy_asked(source: ProjectStore, where: Path) -> None:
    """A project at ``where`` that asks for the same as ``source``, on the same record, with nothing tracked."""
    with ProjectStore.create(where, source.manifest, source.pts) as store:
        for scan in source.shots():
            store.keep_shots(scan)
        store.append_entries(source.entries())
        for edition in source.editions():
            store.append_edition(edition)


def differing_chunks(where: str, tracked: Tracked | None = None) -> tuple[int, ...]:
    """The chunks whose stored masks or scores are others than tracking them again gives; ascending. Changes nothing.

    Raises :class:`ProjectError` where the project is not done, since what is to come of it is not known yet.
    """
    source = ProjectStore.open(where, write=False)
    work = due_work(source)
    if work.missing | work.stale:
        raise ProjectError(f"{where} is not done: run tam-dist resume first, then replay it.")
    with tempfile.TemporaryDirectory(prefix="tam-dist-replay-") as folder:
        copy_asked(source, Path(folder) / "project")
        copy = ProjectStore.open(Path(folder) / "project", write=False)
        total = source.manifest.frame_count

        def tell(event: Event) -> None:
            if tracked is not None and isinstance(event, ChunkCommitted):
                tracked(event.frames_done, total)

        config = from_dict(dict(source.manifest.config))
        (outcome,) = run_inline([job_of(copy)], config, listener=tell)
        outcome.raise_failure()
        ours, theirs = source.records(), copy.records()
        same = {c for c in ours.keys() & theirs.keys() if ours[c].digest == theirs[c].digest and _same_scores(source, copy, c)}
        return tuple(sorted(ours.keys() - same))


def _same_scores(one: ProjectStore, other: ProjectStore, chunk: int) -> bool:
    """Columns of objects that came later than the chunk was made are in one of the records only."""
    mine, its = one.record(chunk), other.record(chunk)
    if mine is None or its is None:
        return False
    if mine.objects == its.objects:
        return mine.scores == its.scores
    columns, frames = min(mine.objects, its.objects), one.manifest.chunk_frames(chunk)
    rows = slice(frames.start, frames.stop)
    scores = [s.quality[rows][:, :columns].tobytes() + s.origin[rows][:, :columns].tobytes() for s in (one, other)]
    return scores[0] == scores[1]

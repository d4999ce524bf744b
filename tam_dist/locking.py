"""Locked frames: their masks stay as a person saw and confirmed them, whatever is tracked again."""

from __future__ import annotations

from dataclasses import replace

from storage.project_store import ProjectStore
from tam_dist.due import DueWork
from tam_dist.tracking.chunk_masks import ChunkMasks


def lock_frames(store: ProjectStore, work: DueWork) -> bool:
    """Note in stored chunks which of their frames were locked since. Whether there were any.

    Nothing is tracked for it: a lock confirms what is there. Chunks that are to be tracked anew for another reason are left to
    that.
    """
    asked, found = work.asked, False
    ids = {o.name: o.id for o in asked.objects}
    for chunk in sorted(work.stale):
        locks = [lock for lock in asked.spec_at(chunk).locks if lock.frame // asked.chunk_size == chunk]
        record = store.record(chunk)
        if not locks or record is None or record.basis is None:
            continue
        wanted = asked.basis(chunk)
        made = wanted.made(replace(record.basis, locks=wanted.locks))
        if not made:
            continue
        frames = range(chunk * asked.chunk_size, asked.stop_of(chunk))
        rows = slice(frames.start, frames.stop)
        masks = ChunkMasks.of_stored(chunk, frames.start, store.labels[rows], store.quality[rows], store.origin[rows])
        for lock in locks:
            masks.keep(lock, ids[lock.object_name])
        store.amend(replace(masks.result(), prompts=record.prompts, basis=wanted, layer=made - 1))
        found = True
    return found

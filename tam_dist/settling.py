"""Whether masks that are made anew have come back to those that are stored, so that what lies behind may stay."""

from __future__ import annotations

import numpy as np

from storage.commits import CommitRecord
from storage.project_store import ProjectStore
from tam_dist.config import from_dict
from tam_dist.due import asking, made_of
from tam_dist.editions import settled, settled_back
from tam_dist.tracking.asked import Asked
from tam_dist.types import ChunkResult, Edition, Fusion, LabelArray, Prompt

#: Two masks of an object agree where they differ in no more than this share of their union, and this many times the root of it:
#: a quarter of an outline one pixel wide, by which masks of a small object flicker from frame to frame anyway.
DIFFERING_SHARE, DIFFERING_EDGE = 0.05, 1.0


def frames_agreeing(old: LabelArray, new: LabelArray, before: int = 0) -> int:
    """How many frames in a row, up to the last of these (n, H, W), have masks that agree; ``before``: those before the first.

    >>> a, b = np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)
    >>> b[0] = 1
    >>> frames_agreeing(a, b, 7), frames_agreeing(a, a, 7)
    (2, 10)
    """
    for back, (ours, theirs) in enumerate(zip(old[::-1], new[::-1], strict=True)):
        if not _agree(ours, theirs):
            return back
    return before + len(new)


def _agree(old: LabelArray, new: LabelArray) -> bool:
    if np.array_equal(old, new):
        return True
    for object_id in np.union1d(old[old != new], new[old != new]):
        if object_id:
            ours, theirs = old == object_id, new == object_id
            union = float((ours | theirs).sum())
            if (ours ^ theirs).sum() > DIFFERING_SHARE * union + DIFFERING_EDGE * union**0.5:
                return False
    return True


def agreeing_with_stored(store: ProjectStore, result: ChunkResult) -> int:
    """For how many frames in a row, up to the last of ``result``, its masks agree with those that they are to replace."""
    frames = slice(result.start, result.start + len(result.labels))
    previous = store.record(result.index - 1) if result.index else None
    carried = previous.agreeing if previous is not None and previous.edition == result.edition else 0
    return frames_agreeing(store.labels[frames], result.labels, carried)


def agreeing_with_found(store: ProjectStore, result: ChunkResult, fusion: Fusion) -> int:
    """For how many frames in a row, down to the first of ``result``, the masks of a pass back from a correction agree with the
    stored ones of the same objects.
    """
    frames = slice(result.start, result.start + len(result.labels))
    following = store.record(result.index + 1)
    carried = following.agreeing_back if following is not None and result.start + len(result.labels) <= fusion.anchor else 0
    old, new = (_only(labels, fusion)[::-1] for labels in (store.labels[frames], result.labels))
    return frames_agreeing(old, new, carried)


def _only(labels: LabelArray, fusion: Fusion) -> LabelArray:
    kept: LabelArray = np.where(np.isin(labels, list(fusion.since)), labels, 0)
    return kept


def settle_back(store: ProjectStore, record: CommitRecord, fusion: Fusion) -> Edition | None:
    """The edition with which a pass back from a correction ends with the chunk of ``record``; None where it goes on."""
    if not record.agreeing_back:
        return None
    config = from_dict(dict(store.manifest.config))
    enough = config.tracking.settled_frames
    if not enough or record.agreeing_back < enough:
        return None
    asked_of = asking(store.manifest, config, store.entries(), store.shots())
    return settled_back(store.editions(), asked_of, record.chunk, fusion)


def settle(store: ProjectStore, record: CommitRecord) -> Edition | None:
    """The edition with which tracking anew ends behind the chunk of ``record``, which was made anew; None where it goes on."""
    following = store.record(record.chunk + 1)
    if following is None or following.basis is None:
        return None  # at once: this is asked of every chunk, and to read the settings takes 20 ms
    config = from_dict(dict(store.manifest.config))
    enough = config.tracking.settled_frames
    if not enough:
        return None
    log, editions = store.entries(), store.editions()

    def due(asked: Asked) -> list[int]:
        prompts, records = [entry for entry in log if isinstance(entry, Prompt)], store.records()
        return [c for c in range(asked.chunk_count) if c not in records or not made_of(records[c], asked, prompts)]

    asked_of = asking(store.manifest, config, log, store.shots())
    agreed = record.agreeing >= enough
    return settled(log, editions, asked_of, record.chunk, following.basis, agreed=agreed, due=due)

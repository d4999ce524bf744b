"""Chunks of frames on a grid anchored at frame 0: the same chunks whatever is read first, by whom, and after which restart."""

from __future__ import annotations

from tam_dist.errors import VideoError
from tam_dist.media.reader import VideoReader
from tam_dist.types import FrameChunk, chunk_count


def read_chunk(reader: VideoReader, index: int, chunk_size: int) -> FrameChunk:
    """Chunk ``index``: frames ``index * chunk_size`` up to the next chunk or the end. Raises :class:`VideoError`."""
    total = reader.info.frame_count
    if not 0 <= index < chunk_count(total, chunk_size):
        raise VideoError(f"Chunk {index} was asked of {reader.info.uri}, which has {chunk_count(total, chunk_size)}.")
    start = index * chunk_size
    frames = reader.read(start, min(start + chunk_size, total))
    filler = reader.filler
    skipped = filler.damaged if filler is not None and filler.policy == "skip" else frozenset[int]()
    return FrameChunk(index, start, frames, skipped=skipped & frozenset(range(start, start + len(frames))))

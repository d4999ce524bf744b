"""Chunks of frames on a grid anchored at frame 0: the same chunks whatever is read first, by whom, and after which restart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tam_dist.errors import VideoError
from tam_dist.media.reader import VideoReader
from tam_dist.media.shots import CutFinder, scan, signatures
from tam_dist.types import FrameChunk, UInt8Array, chunk_count


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


class ChunkReader:
    """Reads chunks of one video, with the cuts in them where these are wanted.

    Whether a frame begins a shot is seen from a dozen frames to each side of it, so a chunk's cuts are a function of the video
    alone, whichever process decodes it after whatever was decoded before. Chunks decoded for their neighbours' sake are kept
    until their own turn: whoever asks for one after the other, in either direction, has each frame decoded once, and one
    chunk held (more where chunks are shorter than a dozen frames).
    """

    def __init__(self, reader: VideoReader, chunk_size: int) -> None:
        self._reader = reader
        self._size = chunk_size
        self._reach = -(-(CutFinder.LATENCY + 1) // chunk_size)
        self._ahead: dict[int, FrameChunk] = {}
        self._signatures: dict[int, UInt8Array] = {}

    def read(self, index: int, *, find_cuts: bool) -> FrameChunk:
        """As :func:`read_chunk`."""
        if not find_cuts:
            return read_chunk(self._reader, index, self._size)
        count = chunk_count(self._reader.info.frame_count, self._size)
        near = range(max(0, index - self._reach), min(index + self._reach + 1, count))
        self._ahead = {n: chunk for n, chunk in self._ahead.items() if n in near}
        self._signatures = {n: marks for n, marks in self._signatures.items() if n in near}
        for n in near:
            if n not in self._signatures or (n == index and n not in self._ahead):
                self._ahead[n] = read_chunk(self._reader, n, self._size)
                self._signatures[n] = signatures(self._ahead[n].frames)
        chunk = self._ahead.pop(index)
        marks = np.concatenate([self._signatures[n] for n in near])
        found = scan(marks, near.start * self._size, chunk.start, chunk.stop + 1)
        return replace(chunk, cuts=tuple(cut.frame for cut in found.cuts))

    def close(self) -> None:
        self._reader.close()

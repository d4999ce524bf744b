"""A chunk's cuts are a function of the video, and its frames are decoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tam_dist.media.chunks import ChunkReader, read_chunk
from tam_dist.media.reader import VideoReader, open_video
from tam_dist.media.shots import find_cuts, signatures
from tam_dist.types import UInt8Array, chunk_count
from tests.films import film
from tests.tiny import write_frames

#: Frames that begin a shot; the first and last of a chunk of 8, and one in its middle.
CUTS = [16, 31, 50]


class Counting:
    """A reader that counts how often it reads a frame."""

    def __init__(self, reader: VideoReader) -> None:
        self._reader = reader
        self.reads = np.zeros(reader.info.frame_count, int)

    def __getattr__(self, name: str) -> object:
        return getattr(self._reader, name)

    def read(self, start: int, stop: int) -> UInt8Array:
        self.reads[start:stop] += 1
        return self._reader.read(start, stop)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("chunks") / "film", film(CUTS, 70))


@pytest.mark.parametrize("size", [1, 5, 8, 16, 100])
@pytest.mark.parametrize("order", ["forwards", "backwards", "at random"])
def test_cuts_do_not_depend_on_what_was_read_before(video: Path, size: int, order: str) -> None:
    with open_video(video) as reader:
        everything = reader.read(0, 70)
        assert [cut.frame for cut in find_cuts(signatures(everything))] == CUTS
        chunks = np.arange(chunk_count(70, size))
        chosen = {"forwards": chunks, "backwards": chunks[::-1], "at random": np.random.default_rng(size).permutation(chunks)}
        counting = Counting(reader)
        asked = ChunkReader(counting, size)  # type: ignore[arg-type]
        for index in chosen[order]:
            chunk = asked.read(int(index), find_cuts=True)
            assert chunk.cuts == tuple(cut for cut in CUTS if chunk.start <= cut <= chunk.stop)
            assert np.array_equal(chunk.frames, read_chunk(reader, int(index), size).frames)
        if order != "at random":
            assert (counting.reads == 1).all()


def test_where_nobody_asks_nothing_is_read_ahead(video: Path) -> None:
    with open_video(video) as reader:
        counting = Counting(reader)
        assert ChunkReader(counting, 8).read(3, find_cuts=False).cuts is None  # type: ignore[arg-type]
        assert counting.reads.sum() == 8


def test_starting_anywhere_reads_the_neighbours_alone(video: Path) -> None:
    with open_video(video) as reader:
        counting = Counting(reader)
        assert ChunkReader(counting, 16).read(1, find_cuts=True).cuts == (16, 31)  # type: ignore[arg-type]
        assert counting.reads.nonzero()[0].tolist() == list(range(48))

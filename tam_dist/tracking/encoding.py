"""A chunk's frames through the key encoder, on a CPU one frame ahead of the tracker; and memory read ahead for them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import torch

from tam_dist.models.xmem.inference import EncodedFrame, InferenceCore
from tam_dist.tracking.resampling import resize_frames
from tam_dist.types import FrameChunk


class ChunkEncoder:
    """Encodes a chunk's frames in batches cut on the chunk's own grid: a batch's composition never depends on the run.

    ``ahead`` encodes the next batch in a thread while the caller tracks this one, which needs nothing of it: the key encoder
    is 60 % of a frame's time on a CPU, and two threads that meet once a frame use two cores far better than torch's own, which
    meet at every operator. The values are the same, as both sum with the same number of OpenMP threads. In what time
    the thread has left it reads memory for the frame that it has encoded (:meth:`InferenceCore.foresee`), until that frame is
    asked for: with a few thousand elements, tracking a frame takes longer than encoding one.
    """

    def __init__(self, core: InferenceCore, chunk: FrameChunk, size: tuple[int, int], *, batch: int, ahead: bool) -> None:
        self._core = core
        self._chunk = chunk
        self._size = size
        self._batch = batch
        self._ahead = ahead
        self._threads = torch.get_num_threads()
        self._first = -1
        self._encoded: list[EncodedFrame] = []
        self._next: Future[list[EncodedFrame]] | None = None

    def frame(self, offset: int) -> EncodedFrame:
        """The frame at ``offset`` in the chunk; offsets are asked for in rising order."""
        first = offset - offset % self._batch
        if first != self._first:
            begun = self._next if first == self._first + self._batch else None
            self._first = first  # nothing more is read ahead for it
            self._next = self._begin(first + self._batch)  # before a first batch is encoded here: both at once
            self._encoded = self._encode(first) if begun is None else begun.result()
        return self._encoded[offset - first]

    def _begin(self, first: int) -> Future[list[EncodedFrame]] | None:
        """Encode the batch at ``first`` in the thread, then read memory for it; None where there is no such batch."""
        if not self._ahead or first >= len(self._chunk.frames):
            return None
        encoding = _encoding_thread().submit(self._encode_in_thread, first)
        _encoding_thread().submit(self._read_ahead, encoding, first)
        return encoding

    def _encode_in_thread(self, first: int) -> list[EncodedFrame]:
        """OpenMP's number of threads is each thread's own; this one may have been started for another configuration."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        return self._encode(first)

    def _read_ahead(self, encoding: Future[list[EncodedFrame]], first: int) -> None:
        """Behind ``encoding`` in the same thread, and before what is asked of it next."""
        if encoding.exception() is None:  # else it is raised to whom asks for the frame
            self._core.foresee(encoding.result()[0], wanted=lambda: self._first < first)

    def _encode(self, first: int) -> list[EncodedFrame]:
        return self._core.encode(resize_frames(self._chunk.frames[first : first + self._batch], self._size))


@cache
def _encoding_thread() -> ThreadPoolExecutor:
    """One for the process: its sessions take turns anyway."""
    return ThreadPoolExecutor(1, thread_name_prefix="encode")

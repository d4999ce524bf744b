from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch

from tam_dist.config import load_config
from tam_dist.models.xmem.inference import EncodedFrame, InferenceCore
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.encoding import ChunkEncoder
from tam_dist.types import FrameChunk

CHUNK = FrameChunk(0, 0, np.random.default_rng(0).integers(0, 255, (5, 32, 48, 3), dtype=np.uint8))


class Recorded(InferenceCore):
    """Notes which frames are encoded, and where."""

    def __init__(self, network: XMem) -> None:
        super().__init__(network, load_config([]).propagation, device=torch.device("cpu"))
        self.calls: list[tuple[int, str]] = []

    def encode(self, frames: torch.Tensor) -> list[EncodedFrame]:
        self.calls.append((len(frames), threading.current_thread().name.partition("_")[0]))
        return super().encode(frames)


def test_every_frame_is_encoded_once_and_all_but_the_first_ahead(network: XMem) -> None:
    core = Recorded(network)
    encoder = ChunkEncoder(core, CHUNK, (32, 48), batch=1, ahead=True)
    found = [encoder.frame(offset) for offset in range(5)]
    assert sorted(core.calls) == [(1, "MainThread")] + [(1, "encode")] * 4  # the first and the second at the same time
    plain = ChunkEncoder(Recorded(network), CHUNK, (32, 48), batch=1, ahead=False)
    for offset, frame in enumerate(found):
        assert torch.equal(frame.features.key, plain.frame(offset).features.key)


def test_memory_is_read_ahead_until_the_frame_is_asked_for(network: XMem) -> None:
    begun, ended = threading.Event(), threading.Event()

    class Reading(Recorded):
        def foresee(self, frame: EncodedFrame, wanted: Callable[[], bool]) -> None:
            if ended.is_set():
                return
            self.calls.append((0, threading.current_thread().name.partition("_")[0]))
            begun.set()
            while wanted():
                pass
            ended.set()

    core = Reading(network)
    encoder = ChunkEncoder(core, CHUNK, (32, 48), batch=1, ahead=True)
    encoder.frame(0)
    assert begun.wait(60)
    assert not ended.is_set()
    encoder.frame(1)
    assert ended.wait(60)
    assert [call for call in core.calls if call[1] == "encode"][:2] == [(1, "encode"), (0, "encode")]


def test_the_thread_takes_over_the_number_of_operator_threads(network: XMem) -> None:
    """Another number rounds otherwise: masks of a second run in the process came out different."""
    before, seen = torch.get_num_threads(), []

    class Watched(Recorded):
        def encode(self, frames: torch.Tensor) -> list[EncodedFrame]:
            seen.append(torch.get_num_threads())
            return super().encode(frames)

    try:
        for threads in (3, 1, 2):
            torch.set_num_threads(threads)
            encoder = ChunkEncoder(Watched(network), CHUNK, (32, 48), batch=1, ahead=True)
            for offset in range(5):
                encoder.frame(offset)
    finally:
        torch.set_num_threads(before)
    assert seen == [3] * 5 + [1] * 5 + [2] * 5


def test_batches_lie_on_the_grid_wherever_tracking_begins(network: XMem) -> None:
    core = Recorded(network)
    encoder = ChunkEncoder(core, CHUNK, (32, 48), batch=2, ahead=False)
    first = encoder.frame(3)  # frames 0 to 2 came before the first prompt
    assert encoder.frame(4) is not first
    assert core.calls == [(2, "MainThread"), (1, "MainThread")]

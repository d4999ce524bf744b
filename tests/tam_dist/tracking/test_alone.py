"""The contract: videos that are tracked one after the other with one segmenter never share an embedding."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from tam_dist.config import load_config
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.alone import track_chunk
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import Click, Clicks, FrameChunk, ObjectQuery, Prompt, SegmentedMask, TrackedObject, UInt8Array
from tests.tiny import HEIGHT, WIDTH, moving_square, square


class Recorder:
    def __init__(self) -> None:
        self.keys: list[Hashable] = []

    def segment(
        self, frame: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]:
        self.keys.append(frame_key)
        return [SegmentedMask(q.object_id, square(4, 10), 0.9) for q in queries]


def test_the_same_frame_number_of_another_video_is_another_frame(network: XMem) -> None:
    prompt = Prompt("p", 0.0, "ann", 0, "cat", Clicks((Click(10, 14), Click(12, 16))))
    spec = SessionSpec(
        WIDTH,
        HEIGHT,
        4,
        4,
        (TrackedObject(1, "cat", (0, 0, 0)),),
        (prompt,),
        load_config(["propagation.enlarge=false"]).propagation,
    )
    segmenter = Recorder()
    for seed in range(2):
        result = track_chunk(TrackingSession(spec, Models(network)), FrameChunk(0, 0, moving_square(4, seed=seed)), segmenter)
        assert np.array_equal(result.labels[0] == 1, square(4, 10))
    assert len(segmenter.keys) == 4  # two clicks are two rounds
    assert len(set(segmenter.keys)) == 2

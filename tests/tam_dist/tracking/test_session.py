"""The contract: a session's masks depend on frames, prompts and weights only, wherever it is saved, and SAM is asked where it
must be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tam_dist.config import load_config
from tam_dist.errors import SchemaError
from tam_dist.evaluation.clicks import mask_iou
from tam_dist.models.checkpoints import resolve
from tam_dist.models.precision import Precision
from tam_dist.models.xmem.frames import EncodedFrame
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import load_network
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import (
    Absent,
    BoolArray,
    ChunkResult,
    Click,
    Clicks,
    FrameChunk,
    Mask,
    Origin,
    Prompt,
    PromptData,
    SegmentationRequest,
    SegmentedMask,
    StepResult,
    TrackedObject,
)

CPU = torch.device("cpu")
HEIGHT, WIDTH, FRAMES, CHUNK = 48, 64, 22, 8
OBJECTS = tuple(TrackedObject(i, name, (0, 0, 0)) for i, name in enumerate(("cat", "dog", "bird"), 1))


def frames() -> np.ndarray:
    """A square that moves over a fixed noisy ground."""
    rng = np.random.default_rng(3)
    video = np.repeat(rng.integers(0, 90, (1, HEIGHT, WIDTH, 3), dtype=np.uint8), FRAMES, axis=0)
    for t in range(FRAMES):
        video[t, 10:26, 4 + 2 * t : 20 + 2 * t] = 220
    return video


VIDEO = frames()


def square(x: int, y: int, side: int = 16) -> BoolArray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def prompt(name: str, frame: int, data: PromptData, time: float = 0.0) -> Prompt:
    return Prompt(f"{name}-{frame}-{data.kind}", time, "ann", frame, name, data)


CAT = prompt("cat", 2, Mask.from_array(square(8, 10)))
DOG_CLICK = prompt("dog", 11, Clicks((Click(40, 30),)))
BIRD = prompt("bird", 11, Mask.from_array(square(0, 30, 10)))


def spec(*prompts: Prompt) -> SessionSpec:
    propagation = load_config(
        ["propagation.enlarge=false", "propagation.mem_every=3", "propagation.num_prototypes=8"]
    ).propagation
    propagation.min_working_frames, propagation.max_working_frames = 2, 4
    return SessionSpec(WIDTH, HEIGHT, FRAMES, CHUNK, OBJECTS, prompts, propagation)


def chunk(index: int) -> FrameChunk:
    return FrameChunk(index, index * CHUNK, VIDEO[index * CHUNK : (index + 1) * CHUNK])


def sam(request: SegmentationRequest) -> list[SegmentedMask]:
    """A stand-in: a square around the first point."""
    return [SegmentedMask(q.object_id, square(int(q.points[0][0]), int(q.points[0][1])), 0.75) for q in request.queries]


def finish(session: TrackingSession, result: StepResult) -> ChunkResult:
    while result.requests:
        result = session.resume([tuple(sam(request)) for request in result.requests])
    assert result.chunk is not None
    return result.chunk


def track(session: TrackingSession) -> list[ChunkResult]:
    chunks = range(session.next_chunk, -(-FRAMES // CHUNK))
    return [finish(session, session.step(chunk(i))) for i in chunks]


def labels(results: Sequence[ChunkResult]) -> np.ndarray:
    return np.concatenate([r.labels for r in results])


def test_masks_start_at_the_first_prompt_and_say_where_they_came_from(network: XMem) -> None:
    results = track(TrackingSession(spec(CAT), Models(network)))
    tracked = labels(results)
    origin = np.concatenate([r.origin for r in results])[:, 0]
    quality = np.concatenate([r.quality for r in results])[:, 0]
    assert tracked.shape == (FRAMES, HEIGHT, WIDTH)
    assert tracked.dtype == np.uint8
    assert not tracked[:2].any()
    assert np.array_equal(tracked[2] == 1, square(8, 10))
    assert origin.tolist() == [Origin.UNTRACKED] * 2 + [Origin.PROMPTED] + [Origin.PROPAGATED] * (FRAMES - 3)
    assert np.isnan(quality[:2]).all()
    assert ((quality[2:] >= 0) & (quality[2:] <= 1)).all()
    assert results[0].prompts == (CAT.uuid,)


def test_a_small_video_is_enlarged_and_its_masks_come_back_at_its_own_size() -> None:
    seen: list[tuple[int, int]] = []

    class Watched(TrackingSession):
        def _track_frame(self, number: int, frame: EncodedFrame, cut: bool) -> Any:
            seen.append(frame.size)
            return super()._track_frame(number, frame, cut)

    models, asked = Models(load_network(resolve("embedded", "xmem"))), spec(CAT)
    propagation = replace(asked.propagation, enlarge=True, short_side=192)
    first = finish(session := Watched(replace(asked, propagation=propagation), models), session.step(chunk(0)))
    assert set(seen) == {(192, 256)}
    assert first.labels.shape == (CHUNK, HEIGHT, WIDTH)
    assert mask_iou(first.labels[2] == 1, square(8, 10)) > 0.9, "as it was given"
    assert mask_iou(first.labels[-1] == 1, VIDEO[CHUNK - 1, ..., 0] == 220) > 0.8


def test_sam_is_asked_in_the_middle_of_a_chunk_with_the_trackers_own_mask(network: XMem) -> None:
    correction = prompt("cat", 12, Clicks((Click(30, 12), Click(5, 5, positive=False))))
    session = TrackingSession(spec(CAT, DOG_CLICK, correction), Models(network))
    finish(session, session.step(chunk(0)))
    first = session.step(chunk(1))
    assert first.chunk is None
    (asked,) = first.requests
    assert asked.frame == 11
    assert asked.queries[0].mask_logits is None  # a new object: nothing is predicted yet
    second = session.resume([tuple(sam(asked))])
    (then,) = second.requests
    (query,) = then.queries
    assert then.frame == 12
    assert query.mask_logits is not None
    assert query.mask_logits.shape == (HEIGHT, WIDTH)
    assert query.point_labels.tolist() == [1, 0]
    done = finish(session, second)
    assert done.quality[3, 1] == np.float32(0.75)
    assert done.origin[3, 1] == Origin.PROMPTED
    assert set(done.prompts) == {DOG_CLICK.uuid, correction.uuid}


@pytest.mark.parametrize(("cut", "precision"), [(1, Precision.FP32), (2, Precision.FP32), (1, Precision.BF16)])
def test_a_saved_and_restored_session_gives_the_same_bits(network: XMem, cut: int, precision: Precision) -> None:
    asked, models = spec(CAT, DOG_CLICK, BIRD), Models(network, precision=precision)
    whole = track(TrackingSession(asked, models))
    session = TrackingSession(asked, models)
    before = [finish(session, session.step(chunk(i))) for i in range(cut)]
    restored = TrackingSession.restore(asked, models, session.snapshot())
    assert restored.next_chunk == cut
    after = track(restored)
    assert np.array_equal(labels(whole), labels([*before, *after]))
    assert np.array_equal(
        np.concatenate([r.quality for r in whole]), np.concatenate([r.quality for r in [*before, *after]]), True
    )


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_frames_encoded_ahead_give_the_same_bits(network: XMem, precision: Precision) -> None:
    """In particular the precision, which torch keeps for each thread, is that of both."""
    asked, models = spec(CAT, DOG_CLICK, BIRD), Models(network, precision=precision)
    plain, ahead = (track(TrackingSession(asked, replace(models, encode_ahead=ahead))) for ahead in (False, True))
    assert np.array_equal(labels(plain), labels(ahead))
    assert np.array_equal(np.concatenate([r.quality for r in plain]), np.concatenate([r.quality for r in ahead]), True)


def test_an_absent_object_has_no_mask_and_comes_back(network: XMem) -> None:
    away = prompt("cat", 6, Absent(6, 9))
    results = track(TrackingSession(spec(CAT, away), Models(network)))
    tracked, origin = labels(results), np.concatenate([r.origin for r in results])[:, 0]
    assert not tracked[6:10].any()
    assert (origin[6:10] == Origin.ABSENT).all()
    assert (origin[10:] == Origin.PROPAGATED).all()


def test_an_object_absent_to_the_end_is_forgotten_and_the_others_go_on(network: XMem) -> None:
    gone = prompt("cat", 14, Absent(14, FRAMES - 1))
    results = track(TrackingSession(spec(CAT, BIRD, gone), Models(network)))
    tracked = labels(results)
    assert not (tracked[14:] == 1).any()
    alone = track(TrackingSession(spec(CAT, prompt("cat", 3, Absent(3, FRAMES - 1))), Models(network)))
    assert not labels(alone)[3:].any()


def test_prompts_that_share_a_frame_are_all_kept_as_given(network: XMem) -> None:
    results = track(TrackingSession(spec(CAT, DOG_CLICK, BIRD), Models(network)))
    frame = labels(results)[11]
    assert np.array_equal(frame == 2, square(40, 30))
    assert np.array_equal(frame == 3, square(0, 30, 10))


def test_frames_that_are_no_pictures_are_left_out_whatever_they_show(network: XMem) -> None:
    runs = []
    for colour in (0, 200):
        session = TrackingSession(spec(CAT), Models(network))
        finish(session, session.step(chunk(0)))
        damaged = chunk(1).frames.copy()
        damaged[1:4] = colour
        runs.append([finish(session, session.step(FrameChunk(1, CHUNK, damaged, skipped=frozenset({9, 10, 11}))))])
        runs[-1].append(finish(session, session.step(chunk(2))))
    assert np.array_equal(labels(runs[0]), labels(runs[1]))
    (middle, last) = runs[0]
    assert not middle.labels[1:4].any()
    assert middle.origin[:, 0].tolist() == [Origin.PROPAGATED] + [Origin.UNTRACKED] * 3 + [Origin.PROPAGATED] * 4
    assert last.labels.any()


def test_steps_out_of_order_are_refused(network: XMem) -> None:
    session = TrackingSession(spec(DOG_CLICK), Models(network))
    with pytest.raises(RuntimeError, match="chunk 0 is due"):
        session.step(chunk(1))
    with pytest.raises(RuntimeError, match="without a chunk"):
        session.resume([])
    session.step(chunk(0))
    assert session.step(chunk(1)).requests
    with pytest.raises(RuntimeError, match="between chunks"):
        session.snapshot()


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all", None])
def test_a_damaged_checkpoint_is_refused_by_name(network: XMem, damage: bytes | None) -> None:
    session = TrackingSession(spec(CAT), Models(network))
    finish(session, session.step(chunk(0)))
    data = session.snapshot()[:-9] if damage is None else damage
    with pytest.raises(SchemaError, match="checkpoint is damaged"):
        TrackingSession.restore(spec(CAT), Models(network), data)

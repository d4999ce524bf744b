"""The contract of step 3 in a session: poor masks are asked about, accepted answers count and are remembered, refused ones
change nothing, and all of it survives being saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tam_dist.config import RefinementConfig, load_config
from tam_dist.models.checkpoints import resolve
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import load_network
from tam_dist.tracking.assessment import Observation
from tam_dist.tracking.quality.model import Scores
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import (
    ChunkResult,
    FrameChunk,
    Mask,
    Origin,
    Prompt,
    SegmentationRequest,
    SegmentedMask,
    TrackedObject,
)
from tests.tiny import HEIGHT, WIDTH, moving_square, square

FRAMES, CHUNK = 24, 8
VIDEO = moving_square(FRAMES)
ON = RefinementConfig("on", "model", False, 0.5, 0.5, 3, True, 1.0, 0.0, 0.1, -1)
Sam = Callable[[SegmentationRequest], tuple[SegmentedMask, ...]]


def spec(refinement: RefinementConfig, objects: int = 1) -> SessionSpec:
    propagation = load_config(
        ["propagation.enlarge=false", "propagation.mem_every=3", "propagation.num_prototypes=8"]
    ).propagation
    propagation.min_working_frames, propagation.max_working_frames = 2, 4
    tracked = tuple(TrackedObject(i, f"o{i}", (0, 0, 0)) for i in range(1, objects + 1))
    side = 16 if objects < 4 else 6
    prompts = tuple(
        Prompt(
            f"p{o.id}",
            0.0,
            "ann",
            0,
            o.name,
            Mask.from_array(square(4 + 8 * ((o.id - 1) % 7), 10 + 8 * ((o.id - 1) // 7), side)),
        )
        for o in tracked  # the first one is the moving square, at least its corner
    )
    return SessionSpec(WIDTH, HEIGHT, FRAMES, CHUNK, tracked, prompts, propagation, refinement)


def scored(quality: float, absent: Callable[[int], float] = lambda _: 0.0) -> Callable[[np.ndarray], Scores]:
    """A scorer that counts the frames it is asked about."""
    frame = 0

    def score(signals: np.ndarray) -> Scores:
        nonlocal frame
        frame += 1
        count = len(signals)
        return Scores(np.full(count, quality, np.float32), np.full(count, absent(frame), np.float32))

    return score


def likes(score: float, area: int = 16) -> Sam:
    """Answers every query with the moving square."""

    def answer(request: SegmentationRequest) -> tuple[SegmentedMask, ...]:
        mask = square((4 + 2 * request.frame) % (WIDTH - 16), 10, area)
        return tuple(SegmentedMask(q.object_id, mask, score) for q in request.queries)

    return answer


@pytest.fixture(scope="module")
def trained() -> XMem:
    """Masks of random weights cover everything, so that no answer could pass for the same object."""
    return load_network(resolve("embedded", "xmem"))


def refuses(request: SegmentationRequest) -> tuple[SegmentedMask, ...]:
    return tuple(SegmentedMask(q.object_id, np.zeros((HEIGHT, WIDTH), bool), 0.0) for q in request.queries)


def track(session: TrackingSession, sam: Sam, asked: list[list[int]] | None = None, first: int = 0) -> list[ChunkResult]:
    results = []
    for index in range(first, FRAMES // CHUNK):
        result = session.step(FrameChunk(index, index * CHUNK, VIDEO[index * CHUNK : (index + 1) * CHUNK]))
        while result.requests:
            if asked is not None:
                asked.append([r.frame for r in result.requests])
            result = session.resume([sam(r) for r in result.requests])
        assert result.chunk is not None
        results.append(result.chunk)
    return results


def stacked(results: Sequence[ChunkResult], name: str) -> np.ndarray:
    return np.concatenate([getattr(r, name) for r in results])


def same(a: Sequence[ChunkResult], b: Sequence[ChunkResult]) -> bool:
    return all(np.array_equal(stacked(a, n), stacked(b, n), equal_nan=n == "quality") for n in ("labels", "quality", "origin"))


def test_poor_masks_are_asked_about_and_the_answer_takes_their_place(trained: XMem) -> None:
    asked: list[list[int]] = []
    results = track(TrackingSession(spec(ON), Models(trained, scored(0.2))), likes(0.99), asked)
    frames = [n for each in asked for n in each]
    assert frames == list(range(1, FRAMES, 3))
    origin, labels = stacked(results, "origin")[:, 0], stacked(results, "labels")
    taken = np.flatnonzero(origin == Origin.REFINED)
    assert set(taken) <= set(frames)
    assert len(taken)
    for n in taken:
        assert np.array_equal(labels[n] == 1, square((4 + 2 * n) % (WIDTH - 16), 10))


def test_a_deferred_refinement_asks_once_a_chunk_and_replaces_the_same_frames(trained: XMem) -> None:
    asked: list[list[int]] = []
    deferred = replace(ON, mode="deferred")
    results = track(TrackingSession(spec(deferred), Models(trained, scored(0.2))), likes(0.99), asked)
    assert [len(each) for each in asked] == [3, 2, 3]
    origin = stacked(results, "origin")[:, 0]
    assert (origin == Origin.REFINED).any()
    assert set(np.flatnonzero(origin == Origin.REFINED)) <= {n for each in asked for n in each}


@pytest.mark.parametrize("mode", ["on", "deferred"])
def test_refused_answers_change_nothing(network: XMem, mode: str) -> None:
    off = track(TrackingSession(spec(replace(ON, mode="off")), Models(network, scored(0.2))), refuses)
    on = track(TrackingSession(spec(replace(ON, mode=mode)), Models(network, scored(0.2))), refuses)
    assert same(off, on)


def test_an_accepted_answer_changes_what_is_remembered(trained: XMem) -> None:
    off = track(TrackingSession(spec(replace(ON, mode="off")), Models(trained, scored(0.2))), refuses)
    for mode in ("on", "deferred"):
        on = track(TrackingSession(spec(replace(ON, mode=mode)), Models(trained, scored(0.2))), likes(0.99))
        others = stacked(on, "origin")[:, 0] == Origin.PROPAGATED  # not asked about
        assert others.sum() > FRAMES // 2
        assert not np.array_equal(stacked(off, "labels")[others], stacked(on, "labels")[others])


@pytest.mark.parametrize("mode", ["on", "deferred"])
@pytest.mark.parametrize("objects", [1, 2, 30])
def test_a_session_saved_after_a_refinement_goes_on_with_the_same_bits(network: XMem, mode: str, objects: int) -> None:
    wanted = spec(replace(ON, mode=mode, presence=True), objects)
    models = Models(network, lambda s: Scores(np.clip(s[:, 0], 0, 1) * 0.4, np.zeros(len(s), np.float32)))
    whole = track(TrackingSession(wanted, models), likes(0.99))
    session = TrackingSession(wanted, models)
    result = session.step(FrameChunk(0, 0, VIDEO[:CHUNK]))
    while result.requests:
        result = session.resume([likes(0.99)(r) for r in result.requests])
    restored = TrackingSession.restore(wanted, models, session.snapshot())
    assert same(track(restored, likes(0.99), first=1), whole[1:])


def test_objects_of_one_frame_exclude_each_other(trained: XMem) -> None:
    results = track(TrackingSession(spec(ON, 2), Models(trained, scored(0.2))), likes(0.99))
    labels, origin = stacked(results, "labels"), stacked(results, "origin")
    both = np.flatnonzero((origin == Origin.REFINED).all(1))
    for n in both:  # SAM gave both the same mask: one has it, the other nothing of it
        assert (labels[n] == 1).any() != (labels[n] == 2).any()


def test_an_object_that_seems_gone_has_an_empty_mask_and_is_found_again(trained: XMem) -> None:
    wanted = spec(replace(ON, mode="off", presence=True))
    scorer = scored(0.3, lambda frame: 0.9 if 6 <= frame < 12 else 0.0)
    results = track(TrackingSession(wanted, Models(trained, scorer)), refuses)
    labels, origin, quality = (stacked(results, n) for n in ("labels", "origin", "quality"))
    assert not labels[6:12].any()
    assert (origin[6:12, 0] == Origin.ABSENT).all()
    assert (origin[12:, 0] == Origin.PROPAGATED).all()
    assert np.allclose(quality[6:12], 0.9)


def test_a_watcher_hears_of_every_predicted_frame(network: XMem) -> None:
    seen: list[Observation] = []
    track(TrackingSession(spec(ON), Models(network, scored(0.2)), watch=seen.append), likes(0.99))
    assert [each.number for each in seen] == list(range(1, FRAMES))
    assert [each.number for each in seen if each.decisions] == list(range(1, FRAMES, 3))

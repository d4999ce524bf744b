"""Backwards is forwards through the film turned round, from each object's first prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tam_dist.errors import PromptError
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.basis import starts
from tam_dist.tracking.passes import Direction, Pass
from tam_dist.tracking.plan import BackwardPlan
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import Absent, ChunkResult, FrameChunk, Mask, Origin, Prompt
from tests.tam_dist.tracking.test_session import CHUNK, OBJECTS, VIDEO, finish, labels, prompt, spec, square

FRAMES = 16  # two whole chunks, so that the grid is the same from both ends
LAST = FRAMES - 1


def both(*prompts: Prompt) -> SessionSpec:
    return replace(spec(*prompts), frame_count=FRAMES, direction="both")


def film(*, turned: bool) -> np.ndarray:
    return np.ascontiguousarray(VIDEO[:FRAMES][::-1]) if turned else VIDEO[:FRAMES]


def track(session: TrackingSession, over: Pass, *, turned: bool = False, skip: int = 0) -> list[ChunkResult]:
    frames, found = film(turned=turned), []
    for index in over.chunks[skip:]:
        chunk = FrameChunk(index, index * CHUNK, frames[index * CHUNK : (index + 1) * CHUNK])
        found.append(finish(session, session.step(chunk)))
    return found


CAT = prompt("cat", 11, Mask.from_array(square(26, 10)))
DOG = prompt("dog", 5, Mask.from_array(square(2, 30, 10)))


def mirrored(each: Prompt) -> Prompt:
    return replace(each, frame=LAST - each.frame)


def test_a_backward_pass_is_a_forward_one_through_the_film_turned_round(network: XMem) -> None:
    asked = both(CAT, DOG)
    whole, back = asked.passes
    assert (whole, back) == (Pass(0, 2), Pass(0, 2, Direction.BACKWARD))
    found = track(TrackingSession(asked, Models(network), over=back), back)
    assert [r.index for r in found] == [1, 0]
    turned = both(mirrored(CAT), mirrored(DOG))
    expected = track(TrackingSession(turned, Models(network)), whole, turned=True)
    assert np.array_equal(labels(found[::-1]), labels(expected)[::-1])
    quality = [np.concatenate([r.quality for r in side]) for side in (found[::-1], expected)]
    assert np.array_equal(quality[0], quality[1][::-1], equal_nan=True)
    origin = np.concatenate([r.origin for r in found[::-1]])
    assert origin[:, 0].tolist() == [Origin.PROPAGATED] * 11 + [Origin.PROMPTED] + [Origin.UNTRACKED] * 4
    assert origin[:, 1].tolist() == [Origin.PROPAGATED] * 5 + [Origin.PROMPTED] + [Origin.UNTRACKED] * 10


def test_it_goes_on_from_a_snapshot_with_the_same_bits(network: XMem) -> None:
    asked = both(CAT, DOG)
    back = asked.passes[1]
    session = TrackingSession(asked, Models(network), over=back)
    first, second = track(session, back)
    again = TrackingSession(asked, Models(network), over=back)
    chunk = FrameChunk(1, CHUNK, film(turned=False)[CHUNK:])
    assert np.array_equal(finish(again, again.step(chunk)).labels, first.labels)
    restored = TrackingSession.restore(asked, Models(network), again.snapshot(), over=back)
    assert restored.next_chunk == 0
    (rest,) = track(restored, back, skip=1)
    assert np.array_equal(rest.labels, second.labels)


def test_absences_hold_backwards_too(network: XMem) -> None:
    asked = both(CAT, prompt("cat", 0, Absent(0, 3)), prompt("cat", 6, Absent(6, 7)))
    back = asked.passes[1]
    found = track(TrackingSession(asked, Models(network), over=back), back)
    origin = np.concatenate([r.origin for r in found[::-1]])[:, 0]
    assert (origin[:4] == Origin.ABSENT).all()
    assert (origin[6:8] == Origin.ABSENT).all()
    assert (origin[[4, 5, 8, 9, 10]] == Origin.PROPAGATED).all()
    assert not labels(found[::-1])[:4].any()


def test_later_prompts_are_none_of_its_business() -> None:
    later = prompt("cat", 14, Mask.from_array(square(8, 10)))
    plan = BackwardPlan(OBJECTS, [CAT, DOG, later])
    assert [p.object_id for f in (14, 11, 5) for p in plan.at(f)] == [1, 2]
    assert not plan.begun(12)
    assert plan.begun(11)
    assert both(CAT, DOG).basis(0).fill == both(CAT, DOG, later).basis(0).fill


def test_an_object_begins_where_it_is_not_declared_absent() -> None:
    away = prompt("cat", 10, Absent(10, 12))
    later = prompt("cat", 14, Mask.from_array(square(8, 10)))
    assert starts(OBJECTS, [CAT, away, later]) == {1: 14}


def test_nothing_is_filled_where_all_begin_at_once_or_nobody_asks() -> None:
    early = replace(CAT, frame=0)
    assert both(early).passes == (Pass(0, 2),)
    assert replace(both(CAT), direction="forward").passes == (Pass(0, 2),)
    assert replace(both(CAT), direction="forward").basis(0) == replace(both(CAT).basis(0), fill="")
    assert both(DOG).passes[1].stop == 1
    assert both(DOG).basis(1).fill == ""


def test_an_unknown_object_is_named() -> None:
    with pytest.raises(PromptError, match="no object"):
        BackwardPlan(OBJECTS, [replace(CAT, object_name="cow")])

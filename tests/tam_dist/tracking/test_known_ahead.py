"""What was prompted further on is known from where an object begins."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.config import load_config
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.passes import Direction, Pass
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import ReferenceFrames, SessionSpec
from tam_dist.types import (
    Absent,
    BoolArray,
    ChunkResult,
    FrameChunk,
    Mask,
    Origin,
    Prompt,
    Purpose,
    Reference,
    SegmentedMask,
    TrackedObject,
)

HEIGHT, WIDTH, FRAMES, CHUNK = 48, 64, 40, 8
OBJECTS = tuple(TrackedObject(i, name, (0, 0, 0)) for i, name in enumerate(("cat", "dog"), 1))
VIDEO = np.random.default_rng(5).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
FORWARD = Pass(0, FRAMES // CHUNK)


def square(x: int) -> BoolArray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[8:24, x : x + 16] = True
    return mask


def mark(name: str, frame: int, purpose: Purpose = "prompt", time: float = 0.0) -> Prompt:
    return Prompt(f"{name}-{frame}", time, "ann", frame, name, Mask.from_array(square(frame)), purpose=purpose)


def spec(*prompts: Prompt, known_ahead: int = 8) -> SessionSpec:
    propagation = load_config(["propagation.enlarge=false", "propagation.mem_every=3"]).propagation
    return SessionSpec(WIDTH, HEIGHT, FRAMES, CHUNK, OBJECTS, prompts, propagation, known_ahead=known_ahead)


def test_an_object_learns_of_its_later_marks_in_the_chunk_in_which_it_begins() -> None:
    asked = spec(mark("cat", 2), mark("dog", 18), mark("cat", 20), mark("dog", 35), mark("cat", 35))
    cats = (ReferenceFrames(2, ("cat-20",)), ReferenceFrames(4, ("cat-35",)))
    assert asked.lessons_of(FORWARD) == {0: cats, 2: (ReferenceFrames(4, ("dog-35",)),)}
    assert asked.lessons_of(Pass(0, 3, Direction.BACKWARD)) == {}, "a pass back starts from what was marked first"


def test_of_many_marks_the_nearest_are_known() -> None:
    asked = spec(*(mark("cat", frame) for frame in (0, 8, 16, 24, 32)), known_ahead=2)
    assert asked.lessons_of(FORWARD) == {0: (ReferenceFrames(1, ("cat-8",)), ReferenceFrames(2, ("cat-16",)))}
    assert spec(mark("cat", 0), mark("cat", 8), known_ahead=0).lessons_of(FORWARD) == {}


def test_what_is_not_known_ahead() -> None:
    """What comes by in the same chunk, a correction (all before it was tracked by then), and where the object is away."""
    away = Prompt("away", 0.0, "ann", 30, "cat", Absent(30, 33))
    asked = spec(mark("cat", 0), mark("cat", 5), mark("cat", 20, "correction", 1), mark("cat", 32), away)
    assert asked.lessons_of(FORWARD) == {}


def test_where_an_object_was_corrected_it_is_known_from_what_was_marked_before() -> None:
    late, early, last = (mark("cat", frame, "correction", time) for frame, time in ((27, 1), (10, 2), (35, 3)))
    assert spec(mark("cat", 0), late).lessons_of(FORWARD) == {}
    assert spec(mark("cat", 0), late, early, last).lessons_of(FORWARD) == {1: (ReferenceFrames(3, ("cat-27",)),)}
    given = spec(mark("cat", 0), mark("cat", 35), late, early).lessons_of(FORWARD)
    assert given == {0: (ReferenceFrames(4, ("cat-35",)),), 1: (ReferenceFrames(3, ("cat-27",)),)}, "it is learnt once"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, FRAMES - 1), min_size=2, max_size=6, unique=True))
def test_a_correction_changes_nothing_before_it(frames: list[int]) -> None:
    """Whatever was corrected before, in whatever order."""
    first, *corrected = frames
    marks = [mark("cat", first), *(mark("cat", frame, "correction", n) for n, frame in enumerate(corrected, 1))]
    before, after = spec(*marks[:-1]), spec(*marks)
    begin = min(frames[:-1]) // CHUNK
    unchanged = [chunk for chunk in FORWARD.chunks if before.basis(chunk).after(0) == after.basis(chunk).after(0)]
    assert set(range(begin, frames[-1] // CHUNK)) <= set(unchanged)


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=5), st.integers(0, FRAMES - 1))
def test_a_further_mark_changes_what_lies_behind_the_first_and_nothing_before(frames: set[int], another: int) -> None:
    before, after = spec(*(mark("cat", f) for f in frames)), spec(*(mark("cat", f) for f in frames | {another}))
    changed = [before.basis(chunk) != after.basis(chunk) for chunk in FORWARD.chunks]
    first = min(frames | {another}) // CHUNK
    assert changed == [another not in frames and chunk >= first for chunk in FORWARD.chunks]


# --- a session that learns -----------------------------------------------------------------------------------------------

TOLD = (Reference(35, VIDEO[35], (SegmentedMask(1, square(35), 1.0), SegmentedMask(2, square(10), 1.0))),)
MARKS = (mark("cat", 2), mark("dog", 12))


def track(session: TrackingSession, chunks: range, taught: bool) -> list[ChunkResult]:
    found = []
    for index in chunks:
        if taught and index in (0, 1):
            session.learn(TOLD)
        step = session.step(FrameChunk(index, index * CHUNK, VIDEO[index * CHUNK : (index + 1) * CHUNK]))
        assert step.chunk is not None
        found.append(step.chunk)
    return found


def test_it_is_learnt_with_the_objects_first_mark_and_not_before(network: XMem) -> None:
    plain = track(TrackingSession(spec(*MARKS), Models(network)), range(5), taught=False)
    told = track(TrackingSession(spec(*MARKS), Models(network)), range(5), taught=True)
    labels = [np.concatenate([each.labels for each in found]) for found in (plain, told)]
    origin = np.concatenate([each.origin for each in told])
    assert (origin[:2, 0] == Origin.UNTRACKED).all()
    assert (origin[:12, 1] == Origin.UNTRACKED).all()
    assert np.array_equal(labels[0][:3], labels[1][:3])
    assert np.array_equal(labels[1][2] == 1, square(2))
    assert not np.array_equal(labels[0][3:], labels[1][3:]), "what was learnt made no difference"


def test_saved_behind_the_chunk_it_goes_on_with_what_it_learnt(network: XMem) -> None:
    models = Models(network)
    whole = track(TrackingSession(spec(*MARKS), models), range(5), taught=True)
    session = TrackingSession(spec(*MARKS), models)
    track(session, range(2), taught=True)
    rest = track(TrackingSession.restore(spec(*MARKS), models, session.snapshot()), range(2, 5), taught=False)
    assert np.array_equal(np.concatenate([r.labels for r in rest]), np.concatenate([r.labels for r in whole[2:]]))

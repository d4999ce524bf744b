"""A basis changes exactly where a chunk's masks can."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.errors import PromptError
from tam_dist.tracking.basis import PromptDigests, first_frames
from tam_dist.tracking.plan import PromptPlan
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, TrackedObject

FRAMES = 40
OBJECTS = (TrackedObject(1, "cat", (0, 0, 0)), TrackedObject(2, "dog", (0, 0, 0)))
frames = st.integers(0, FRAMES - 1)
data = (
    st.builds(lambda x: Clicks((Click(x, 1),)), st.integers(0, 9))
    | st.just(Box(0, 0, 2, 2))
    | st.just(Mask.from_array(np.ones((2, 2), bool)))
)
spans = st.tuples(frames, frames).map(sorted).map(lambda span: Absent(*span))


@st.composite
def logs(draw: st.DrawFn) -> list[Prompt]:
    given_ = draw(st.lists(st.tuples(st.sampled_from(["cat", "dog"]), frames, data | spans), min_size=1, max_size=6))
    return [
        Prompt(f"u{n}", float(n), "ann", content.first if isinstance(content, Absent) else frame, name, content)
        for n, (name, frame, content) in enumerate(given_)
    ]


START = Prompt("start", -1.0, "ann", 0, "cat", Clicks((Click(1, 1),)))


def asked(plan: PromptPlan, stop: int) -> list[object]:
    """All that a session looks up before frame ``stop``."""
    return [
        [
            [(p.object_id, p.points, p.box, p.mask is not None) for p in plan.at(f)],
            plan.absent(f),
            plan.gone_for_good(f, FRAMES),
        ]
        for f in range(stop)
    ]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(one=logs(), other=logs(), shared=st.integers(0, 6), stop=st.integers(1, FRAMES))
def test_the_same_basis_means_that_a_session_is_asked_the_same(
    one: list[Prompt], other: list[Prompt], shared: int, stop: int
) -> None:
    first, second = [START, *one], [START, *one[:shared], *other[shared:]]
    same = PromptDigests(OBJECTS, first, FRAMES).before(stop) == PromptDigests(OBJECTS, second, FRAMES).before(stop)
    if same:
        assert asked(PromptPlan(OBJECTS, first), stop) == asked(PromptPlan(OBJECTS, second), stop)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(log=logs(), stop=st.integers(1, FRAMES))
def test_a_prompt_that_comes_to_bear_later_changes_nothing_before(log: list[Prompt], stop: int) -> None:
    whole = [START, *log]
    first = first_frames(whole, FRAMES)
    early = [p for p in whole if first[p.uuid] < stop]
    assert PromptDigests(OBJECTS, whole, FRAMES).before(stop) == PromptDigests(OBJECTS, early, FRAMES).before(stop)


def test_given_again_by_somebody_else_it_is_the_same_basis() -> None:
    again = Prompt("new", 99.0, "bob", 0, "cat", Clicks((Click(1.0, 1.0),)))
    assert PromptDigests(OBJECTS, [START], 9).before(9) == PromptDigests(OBJECTS, [again], 9).before(9)


def test_an_unknown_object_is_named() -> None:
    with pytest.raises(PromptError, match="no object 'cow'"):
        PromptDigests(OBJECTS, [Prompt("u", 0.0, "ann", 0, "cow", Box(0, 0, 1, 1))], 9)

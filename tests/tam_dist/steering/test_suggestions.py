"""Suggestions are where a correction helps most, spread out, with a reason; nothing that a person has settled is one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.steering import review_queue
from tam_dist.steering.suggestions import expected_gain, spacing, worst_spots
from tam_dist.steering.trouble import Trouble
from tam_dist.types import ChunkResult

qualities = arrays.arrays(np.float32, st.tuples(st.integers(1, 120), st.integers(1, 3)), elements=st.floats(0, 1, width=32))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(qualities, st.lists(st.integers(0, 119), max_size=4), st.integers(1, 10))
def test_suggestions_are_the_worst_and_spread_out(quality: np.ndarray, marked: list[int], most: int) -> None:
    spots = worst_spots(quality, {0: marked}, most=most, good_enough=0.8)
    assert [s.gain for s in spots] == sorted((s.gain for s in spots), reverse=True)
    assert len(spots) <= most
    space = spacing(len(quality))
    for n, spot in enumerate(spots):
        assert spot.quality == quality[spot.frame, spot.column] < 0.8
        assert all(abs(spot.frame - other.frame) >= space for other in spots[:n] if other.column == spot.column)
        assert spot.column or all(abs(spot.frame - frame) >= space for frame in marked)
    if not marked:
        assert bool(spots) == bool((quality < 0.8).any())


def test_what_is_wrong_for_long_comes_before_what_is_for_a_moment() -> None:
    quality = np.full((200, 2), 0.95, np.float32)
    quality[20, 0], quality[100:130, 0], quality[60:64, 1] = 0.0, 0.5, 0.1
    first, *others = worst_spots(quality)
    assert (first.column, abs(first.frame - 115) <= 2) == (0, True)
    assert (0, 20) in {(s.column, s.frame) for s in others}
    assert worst_spots(quality, {0: [115]})[0].column == 1


def test_where_scores_see_nothing_wrong_what_nobody_looked_at_is_worth_more() -> None:
    gain = expected_gain(np.ones(120, np.float32), [20])
    assert gain[20] < gain[28] < gain[60]


def test_the_queue_of_a_project(project: str, store: ProjectStore) -> None:
    def worst(chunk: int, column: int) -> None:
        with ProjectStore.open(project, write=True) as writing:
            frames = writing.manifest.chunk_frames(chunk)
            rows = slice(frames.start, frames.stop)
            quality = np.full((len(frames), 2), 0.9, np.float32)
            quality[3, column] = 0.1
            writing.commit(ChunkResult(chunk, frames.start, writing.labels[rows], quality, writing.origin[rows]))

    for chunk in range(6):
        worst(chunk, chunk % 2)
    queue = review_queue(project, good_enough=0.5)
    found = sorted((s.frame, s.object) for s in queue)
    assert found == [(11, "dog"), (19, "cat"), (27, "dog"), (35, "cat"), (43, "dog")]  # the first is beside the prompts
    assert {s.reason for s in queue} <= {trouble.words for trouble in Trouble}
    tam_dist.rename_object(project, "cat", "tom")
    tam_dist.correct(project, [tam_dist.click("tom", 3, 3, frame=19)])
    tam_dist.remove_object(project, "tom", (30, 40))
    left = sorted((s.frame, s.object) for s in review_queue([project], good_enough=0.5))
    assert left == [(11, "dog"), (27, "dog"), (43, "dog")]
    assert {s.project for s in review_queue([project])} == {str(store.location)}

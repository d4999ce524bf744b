"""What one click makes of a mask: the part it lies in, the object that was lost, the thing that does not belong to it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tam_dist.models.sam.clicked import changed_at, clicked
from tam_dist.models.sam.rounds import certain_logits
from tam_dist.types import BoolArray, ObjectQuery
from tests.tam_dist.models.sam.test_rounds import FRAME, SIZE, Answers, blob


def click(sam: Answers, mask: BoolArray, x: int, y: int, on: bool) -> BoolArray:
    asked = ObjectQuery(1, np.array([[x, y]], np.float32), np.array([int(on)]), None, certain_logits(mask), corrects=True)
    return clicked(sam, FRAME, asked, mask, [], 0)[0]


def test_a_lost_object_is_looked_for_afresh() -> None:
    scrap, near, afresh = blob((0, 0)), blob((0, 0), (12, 12)), blob((10, 10), (18, 10), (18, 18))
    sam = Answers(near, afresh)
    assert np.array_equal(click(sam, scrap, 14, 14, True), scrap | afresh)
    assert [asked.corrects for asked in sam.asked] == [True, False]


def test_a_missed_part_is_what_was_seen_from_close_by() -> None:
    before, part = blob((0, 0), (8, 0), (0, 8)), blob((8, 8))
    sam = Answers(before | part, blob((8, 8), (16, 8)))
    assert np.array_equal(click(sam, before, 12, 12, True), before | part)


def test_a_thing_that_does_not_belong_goes_as_a_whole() -> None:
    cat, dog = blob((0, 0), (8, 0), (0, 8)), blob((24, 24))
    hole = blob((26, 26)) & dog
    hole[28:, 28:] = False
    sam = Answers((cat | dog) & ~hole, dog | blob((30, 24)))
    assert np.array_equal(click(sam, cat | dog, 27, 27, False), cat)
    assert sam.asked[1].mask_logits is None
    assert sam.asked[1].point_labels.tolist() == [1]


def test_a_click_near_the_outline_takes_away_what_ran_over() -> None:
    cat = blob((0, 0), (8, 0), (0, 8), (8, 8), (16, 8))
    over = blob((16, 8)) & ~blob((9, 8))
    sam = Answers(cat & ~over, blob((8, 0), (8, 8), (16, 8)))  # SAM takes half of the cat for what was clicked on
    assert np.array_equal(click(sam, cat, 22, 12, False), cat & ~over)


def test_the_object_itself_is_no_thing_to_take_away() -> None:
    cat = blob((8, 8), (16, 8))
    over = blob((15, 10)) & cat
    sam = Answers(cat & ~over, cat)
    assert np.array_equal(click(sam, cat, 16, 12, False), cat & ~over)


masks = st.lists(st.tuples(st.integers(0, 32), st.integers(0, 32)), max_size=4).map(lambda squares: blob(*squares))
places = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1))


@given(mask=masks, answer=masks, at=places, kept=st.lists(places, max_size=5))
def test_a_click_is_obeyed_and_those_before_stay_so(
    mask: BoolArray, answer: BoolArray, at: tuple[int, int], kept: list[tuple[int, int]]
) -> None:
    kept = [place for place in kept if place != at]
    found = changed_at(mask, answer, at, kept)
    assert found[at[1], at[0]] != mask[at[1], at[0]]
    assert all(found[y, x] == mask[y, x] for x, y in kept)


@given(mask=masks, near=masks, second=masks, at=places)
def test_every_click_is_obeyed(mask: BoolArray, near: BoolArray, second: BoolArray, at: tuple[int, int]) -> None:
    mask = mask | blob((0, 0))
    on = not mask[at[1], at[0]]
    assert click(Answers(near, second), mask, *at, on)[at[1], at[0]] == on

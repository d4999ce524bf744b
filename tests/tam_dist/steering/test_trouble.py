"""What looks wrong is told apart, at any size and place of the object, and from what is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.steering.suggestions import Scored
from tam_dist.steering.trouble import Trouble, gave_way, told_apart, trouble_at
from tam_dist.types import LabelArray, Origin

SIDE = 96


def picture(*boxes: tuple[int, int, int, int, int]) -> LabelArray:
    """Each as label, x, y, width, height; later ones lie above."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for label, x, y, width, height in boxes:
        labels[y : y + height, x : x + width] = label
    return labels


GOOD = picture((1, 20, 20, 16, 16), (2, 70, 20, 16, 16))
CASES = {
    "nothing is left": (picture((2, 70, 20, 16, 16)), Trouble.LOST),
    "a corner is left": (picture((1, 20, 20, 6, 8)), Trouble.LOST),
    "over the ground": (picture((1, 16, 16, 26, 26), (2, 70, 20, 16, 16)), Trouble.LEAKED),
    "far away at once": (picture((1, 20, 70, 16, 16), (2, 70, 20, 16, 16)), Trouble.JUMPED),
    "where the other one was": (picture((1, 70, 20, 16, 16)), Trouble.LOOK_ALIKE),
    "a second part far away": (picture((1, 20, 20, 16, 16), (1, 60, 70, 8, 10)), Trouble.LOOK_ALIKE),
    "beside one of its size": (picture((1, 52, 20, 16, 16), (2, 70, 20, 16, 16)), Trouble.LOOK_ALIKE),
    "beside a giant": (picture((2, 40, 0, 50, 90), (1, 23, 20, 16, 16)), Trouble.UNSURE),
    "moved a little": (picture((1, 25, 22, 17, 15), (2, 70, 20, 16, 16)), Trouble.UNSURE),
}


@pytest.mark.parametrize("case", CASES)
def test_kinds_of_trouble(case: str) -> None:
    bad, expected = CASES[case]
    between = {8: bad} if expected is not Trouble.LOOK_ALIKE or "beside" not in case else {}
    assert told_apart({7: GOOD, **between, 20: bad}, 1) is expected


def test_slow_travel_is_no_jump() -> None:
    far = picture((1, 20, 70, 16, 16))
    assert told_apart({7: GOOD, 8: GOOD, 30: far}, 1) is Trouble.UNSURE


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(4, 20), st.integers(0, 40), st.integers(0, 40), st.floats(2, 3.5))
def test_what_grows_has_leaked_and_what_shrinks_is_lost(size: int, x: int, y: int, times: float) -> None:
    one = picture((1, x, y, size, size))
    other = picture((1, x, y, round(size * times), round(size * times)))
    assert told_apart({0: one, 1: other}, 1) is Trouble.LEAKED
    assert told_apart({0: other, 1: one}, 1) is Trouble.LOST
    assert told_apart({0: one, 1: one}, 1) is Trouble.UNSURE


def test_masks_are_read_where_the_quality_gave_way() -> None:
    quality = np.full(200, 0.9, np.float32)
    quality[100:], quality[150] = 0.5, 0.2
    origin = np.full(200, Origin.PROPAGATED, np.uint8)
    film = {frame: GOOD if frame < 101 else CASES["far away at once"][0] for frame in range(200)}
    read: list[int] = []

    def labels(frame: int) -> LabelArray:
        read.append(frame)
        return film[frame]

    assert gave_way(quality, 150, 0.8) == 100
    assert trouble_at(150, 1, quality, origin, labels) is Trouble.JUMPED
    assert read == [99, 100, 101, 102, 150]
    origin[150] = Origin.ABSENT
    assert trouble_at(150, 1, quality, origin, labels) is Trouble.GONE


def test_large_pictures_are_looked_at_as_small_ones() -> None:
    quality, origin = np.array([0.9, 0.3], np.float32), np.full(2, Origin.PROPAGATED, np.uint8)
    large = [np.kron(each, np.ones((20, 20), np.uint8)) for each in (GOOD, CASES["over the ground"][0])]
    assert trouble_at(1, 1, quality, origin, large.__getitem__) is Trouble.LEAKED


def test_a_reason_says_that_sam_has_been_there() -> None:
    origin = np.array([[Origin.PROPAGATED], [Origin.REFINED]], np.uint8)
    scored = Scored(np.array([[0.9], [0.3]], np.float32), origin, (), ["cat"], [GOOD, GOOD].__getitem__)
    (spot,) = scored.spots()
    assert (spot.frame, spot.column, spot.quality) == (1, 0, pytest.approx(0.3))
    assert scored.reason(spot, scored.trouble(spot)) == "unsure, also after SAM redrew it"

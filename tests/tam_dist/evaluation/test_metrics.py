from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tam_dist.evaluation.metrics import contour, contour_accuracy, region_similarity, statistics
from tam_dist.types import BoolArray


def square(x: int, y: int, side: int = 20, size: int = 100) -> BoolArray:
    mask = np.zeros((size, size), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_region_similarity_is_intersection_over_union() -> None:
    assert region_similarity(square(10, 10), square(10, 10)) == 1
    assert region_similarity(square(10, 10), square(20, 10)) == pytest.approx(200 / 600)
    assert region_similarity(square(10, 10), square(60, 60)) == 0
    empty = np.zeros((5, 5), bool)
    assert region_similarity(empty, empty) == 1


def test_void_pixels_count_for_nothing() -> None:
    void = square(20, 10)
    assert region_similarity(square(10, 10), square(10, 10) | void, void) == 1
    assert region_similarity(square(10, 10), square(20, 10), void) == 0


def test_the_contour_is_one_pixel_wide_and_offset_to_the_origin() -> None:
    edge = contour(square(10, 10, side=3, size=20))
    assert np.argwhere(edge).min() == 9
    assert np.argwhere(edge).max() == 12
    assert np.count_nonzero(edge) == 12
    assert not contour(np.ones((4, 4), bool)).any()


def test_contours_within_the_tolerance_match_and_others_do_not() -> None:
    # diagonal 141.4, tolerance ceil(1.13) = 2 pixels
    assert contour_accuracy(square(30, 30), square(32, 30)) == 1
    assert contour_accuracy(square(30, 30), square(33, 30)) < 1
    assert contour_accuracy(square(10, 10), square(60, 60)) == 0
    empty = np.zeros((100, 100), bool)
    assert contour_accuracy(empty, empty) == 1
    assert contour_accuracy(empty, square(10, 10)) == 0


@given(st.integers(0, 70), st.integers(0, 70), st.integers(1, 30))
def test_both_measures_are_symmetric_and_bounded(x: int, y: int, side: int) -> None:
    one, other = square(x, y, side), square(30, 30)
    for measure in (region_similarity, contour_accuracy):
        assert 0 <= measure(one, other) <= 1
        assert measure(one, other) == pytest.approx(measure(other, one))
        assert measure(one, one) == 1


def test_statistics_follow_the_official_bins() -> None:
    falling = statistics(np.linspace(1, 0, 101))
    assert falling.mean == pytest.approx(0.5)
    assert falling.recall == pytest.approx(50 / 101)
    assert falling.decay == pytest.approx(0.75)  # bins 0..25 and 75..100
    assert statistics([0.7] * 9).decay == 0

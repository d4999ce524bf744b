"""The contract: few points, apart from each other, inside the picture; positive where memory and mask agree."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tam_dist.tracking.refinement.points import LEAST_SPACING, MAX_NEGATIVE, MAX_POSITIVE, EvidencePoints
from tam_dist.tracking.refinement.points import evidence_points as points_of

HEIGHT, WIDTH = 48, 64
NOBODY = np.zeros((HEIGHT, WIDTH), bool)


def evidence_points(probability: np.ndarray, foreground: np.ndarray, others: np.ndarray) -> EvidencePoints:
    """Of an object alone, whose mask is where it is more likely than not."""
    return points_of(probability > 0.5, probability, foreground, others)


def plane(value: float = 0.0) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), value, np.float32)


def test_points_lie_where_mask_and_memory_agree_and_where_they_contradict() -> None:
    probability, foreground = plane(), plane()
    probability[10:40, 10:50] = 0.9
    foreground[10:40, 10:30] = 0.95  # memory knows the left half only
    points = evidence_points(probability, foreground, NOBODY)
    assert 1 <= points.positive.sum() <= MAX_POSITIVE
    assert (points.xy[points.positive][:, 0] < 30).all()
    assert (points.xy[~points.positive][:, 0] >= 30).any()


def test_nothing_is_asked_where_mask_and_memory_are_empty() -> None:
    assert len(evidence_points(plane(), plane(), NOBODY).xy) == 0


def test_memory_alone_gives_points_where_the_mask_is_lost() -> None:
    foreground = plane()
    foreground[20:36, 20:36] = 0.9
    points = evidence_points(plane(), foreground, NOBODY)
    assert points.positive.any()
    assert ((points.xy[points.positive] >= 20) & (points.xy[points.positive] < 36)).all()


def test_an_object_that_fills_the_frame_and_one_of_a_single_pixel() -> None:
    full = evidence_points(plane(1.0), plane(1.0), NOBODY)
    assert full.positive.all()
    dot = plane()
    dot[7, 9] = 1.0
    one = evidence_points(dot, dot, NOBODY)
    assert one.xy[one.positive].tolist() == [[9, 7]]


def test_an_object_cut_by_the_border_is_prompted_inside_the_picture() -> None:
    edge = plane()
    edge[:, :6] = 1.0
    points = evidence_points(edge, edge, NOBODY)
    assert points.positive.any()
    assert (points.xy[points.positive][:, 0] <= 5).all()


def test_a_touching_look_alike_gives_a_negative_point() -> None:
    probability, others = plane(), NOBODY.copy()
    probability[10:40, 10:30] = 0.9
    others[10:40, 30:50] = True
    foreground = plane()
    foreground[10:40, 10:50] = 0.9  # memory cannot tell the two apart
    points = evidence_points(probability, foreground, others)
    negative = points.xy[~points.positive].astype(int)
    assert len(negative)
    assert all(others[y, x] for x, y in negative)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (12, 16), elements=st.floats(0, 1, width=32)),
    arrays(np.float32, (12, 16), elements=st.floats(0, 1, width=32)),
    arrays(np.bool_, (12, 16)),
)
def test_limits_hold_for_anything(probability: np.ndarray, foreground: np.ndarray, others: np.ndarray) -> None:
    grown = [np.kron(each, np.ones((4, 4), each.dtype)) for each in (probability, foreground, others)]
    points = evidence_points(*grown)
    assert points.positive.sum() <= MAX_POSITIVE
    assert (~points.positive).sum() <= MAX_NEGATIVE
    assert ((points.xy >= 0) & (points.xy < [WIDTH, HEIGHT])).all()
    for kind in (points.positive, ~points.positive):
        xy = points.xy[kind]
        gaps = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(xy))
        assert len(xy) < 2 or gaps.min() >= LEAST_SPACING

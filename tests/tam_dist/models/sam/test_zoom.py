"""The contract: a small object is looked at again from close by, at the right place; a large one is not."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tam_dist.models.sam.rounds import segment_in_rounds
from tam_dist.models.sam.zoom import LARGEST_SHARE, ZoomingSegmenter, part_around
from tam_dist.types import BoolArray, ObjectQuery, SegmentedMask, UInt8Array

HEIGHT, WIDTH, SIDE = 120, 200, 40


def query(x: float, y: float) -> ObjectQuery:
    return ObjectQuery(3, np.array([[x, y]], np.float32), np.array([1]))


class BrightPixels:
    """A stand-in that selects bright pixels, on a coarse grid where the frame is large; it remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[tuple[int, int], ObjectQuery, Hashable | None]] = []

    def segment(
        self, frame: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]:
        self.shown.append((frame.shape[:2], queries[0], frame_key))
        coarse = 8 if max(frame.shape) == WIDTH else 1
        small = frame[::coarse, ::coarse, 0] > 128
        mask = small.repeat(coarse, 0).repeat(coarse, 1)[: frame.shape[0], : frame.shape[1]]
        return [SegmentedMask(q.object_id, mask, 0.5, np.zeros((SIDE, SIDE), np.float32)) for q in queries]


def frame_with(x: int, y: int, side: int) -> tuple[UInt8Array, BoolArray]:
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[y : y + side, x : x + side] = 255
    return frame, frame[..., 0] > 0


@given(st.integers(0, 180), st.integers(0, 100), st.integers(9, 20))
def test_a_small_object_is_seen_exactly_wherever_it_is(x: int, y: int, side: int) -> None:
    frame, truth = frame_with(x, y, side)
    base = BrightPixels()
    answer = ZoomingSegmenter(base).segment(frame, [query(x + side // 2, y + side // 2)], frame_key="f")[0]
    assert np.array_equal(answer.mask, truth)
    (whole, _, _), (part, asked, key) = base.shown
    assert whole == (HEIGHT, WIDTH)
    assert part[0] < HEIGHT or part[1] < WIDTH
    assert (asked.points >= 0).all()
    assert asked.mask_logits is not None
    assert key != "f"
    assert answer.logits is not None
    assert answer.logits.shape == (SIDE, SIDE)


def test_a_large_or_missing_object_is_not_looked_at_again() -> None:
    for side in (int(LARGEST_SHARE * WIDTH) + 8, 0):
        base = BrightPixels()
        ZoomingSegmenter(base).segment(frame_with(0, 0, side)[0], [query(5, 5)])
        assert len(base.shown) == 1


def test_later_clicks_find_the_same_part() -> None:
    _, truth = frame_with(50, 40, 16)
    first, second = part_around(truth, query(58, 48)), part_around(truth, query(60, 45))
    assert first == second
    far = replace(query(0, 0), points=np.array([[58, 48], [90, 48]], np.float32), point_labels=np.array([1, 0]))
    part = part_around(truth, far)
    assert part is not None
    assert part.x1 > 90


@pytest.mark.parametrize("box", [(44, 30, 80, 70)])
def test_a_box_is_moved_with_the_part(box: tuple[int, int, int, int]) -> None:
    frame, _ = frame_with(50, 40, 16)
    base = BrightPixels()
    ZoomingSegmenter(base).segment(frame, [replace(query(58, 48), box=np.array(box, np.float32))])
    asked = base.shown[1][1]
    assert asked.box is not None
    assert np.array_equal(asked.box[:2] - asked.points[0], np.array(box[:2]) - [58, 48])


def test_what_corrects_a_mask_is_asked_around_it_alone() -> None:
    frame, truth = frame_with(50, 40, 16)
    stored = np.where(truth, 10, -10).astype(np.float32)
    stored[44:48, 52:56] = -10  # a hole
    base = BrightPixels()
    asked = replace(query(53, 45), mask_logits=stored, corrects=True)
    found = ZoomingSegmenter(base).segment(frame, [asked], frame_key="f")[0]
    assert np.array_equal(found.mask, truth)
    ((shown, seen, key),) = base.shown
    assert shown[0] < HEIGHT
    assert key != "f"
    assert seen.mask_logits is not None
    assert seen.mask_logits.shape == shown


def test_what_corrects_a_large_mask_is_asked_of_the_whole_frame() -> None:
    stored = np.full((HEIGHT, WIDTH), 10, np.float32)
    base = BrightPixels()
    asked = replace(query(53, 45), point_labels=np.array([0]), mask_logits=stored, corrects=True)
    ZoomingSegmenter(base).segment(frame_with(50, 40, 16)[0], [asked], frame_key="f")
    assert [shown for shown, _, _ in base.shown] == [(HEIGHT, WIDTH)]


def test_clicks_where_nothing_was_found_start_an_object() -> None:
    frame, truth = frame_with(50, 40, 16)
    points, labels = np.array([[55, 45], [58, 48]], np.float32), np.array([1, 1])
    asked = ObjectQuery(3, points, labels, None, np.full((HEIGHT, WIDTH), -10, np.float32), corrects=True)
    found = segment_in_rounds(ZoomingSegmenter(BrightPixels()), frame, asked, "f")
    assert np.array_equal(found.mask, truth)

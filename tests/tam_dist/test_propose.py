"""Proposals from a segmenter that knows what is in the picture: coloured discs on a plain ground."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.propose import ProposalRules, box_iou, propose, stability, suppress
from tam_dist.types import ObjectQuery, SegmentedMask, UInt8Array

HEIGHT, WIDTH = 96, 128
DISCS = ((30, 30, 18, (200, 0, 0)), (90, 60, 25, (0, 200, 0)), (95, 65, 8, (0, 0, 200)))  # the last one on the second


def picture() -> UInt8Array:
    frame = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    for x, y, radius, colour in DISCS:
        cv2.circle(frame, (x, y), radius, colour, -1)
    return frame


class Colours:
    """Answers with all pixels of the colour asked at; of the ground, which is the largest, it is the surest."""

    def __init__(self, score: float = 0.9) -> None:
        self.score = score
        self.asked: list[int] = []

    def segment(
        self, frame: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]:
        self.asked.append(len(queries))
        answers = []
        for query in queries:
            x, y = query.points[0].astype(int)
            mask = (frame == frame[y, x]).all(axis=2)
            logits = np.where(cv2.resize(mask.astype(np.uint8), (64, 64)) > 0, 8.0, -8.0).astype(np.float32)
            answers.append(SegmentedMask(query.object_id, mask, 1.0 if mask.mean() > 0.6 else self.score, logits))
        return answers


def test_each_thing_is_proposed_once_and_the_ground_is_not() -> None:
    frame = picture()
    found = propose(Colours(), frame)
    assert len(found) == 3
    assert [int(p.mask.sum()) for p in found] == sorted((int(p.mask.sum()) for p in found), reverse=True)
    for proposal in found:
        colours = np.unique(frame[proposal.mask], axis=0)
        assert len(colours) == 1
        x, y = proposal.point
        assert proposal.mask[int(y), int(x)]
    assert not (sum(p.mask.astype(int) for p in found) > 1).any()


def test_rules_choose() -> None:
    frame = picture()
    assert propose(Colours(0.5), frame) == []
    assert len(propose(Colours(0.5), frame, ProposalRules(score=0.4))) == 3
    assert len(propose(Colours(), frame, ProposalRules(most=1))) == 1
    assert len(propose(Colours(), frame, ProposalRules(smallest=0.05))) == 2
    segmenter = Colours()
    propose(segmenter, frame, ProposalRules(grid=5))
    assert segmenter.asked == [25]


def test_a_mask_that_changes_with_its_threshold_is_not_stable() -> None:
    ramp = np.linspace(-2, 2, 64, dtype=np.float32)[None].repeat(64, 0)
    assert stability(SegmentedMask(1, ramp > 0, 0.9, ramp)) < 0.5
    assert stability(SegmentedMask(1, ramp > 0, 0.9, ramp * 50)) > 0.95
    assert stability(SegmentedMask(1, ramp > 9, 0.9, ramp - 99)) == 0


def test_two_things_of_one_box_are_both_kept() -> None:
    """A ring and what it holds, or two diagonals: their boxes agree and their masks do not."""
    first, second = np.eye(20, dtype=bool), np.eye(20, dtype=bool)[::-1]
    assert suppress([first, second, first], 0.5) == [0, 1]


boxes = st.tuples(*(st.integers(0, 9) for _ in range(4))).map(lambda b: (b[0], b[1], b[0] + b[2] + 1, b[1] + b[3] + 1))


@settings(deadline=None)
@given(boxes, boxes)
def test_iou_of_boxes_is_that_of_their_pixels(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    masks = np.zeros((2, 20, 20), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, (one, other), strict=True):
        mask[y0:y1, x0:x1] = True
    expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert box_iou(np.array(one, float), np.array(other, float)) == pytest.approx(expected)

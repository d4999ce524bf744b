"""What several clicks one after the other make of a mask."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from tam_dist.models.sam.rounds import certain_logits, segment_in_rounds
from tam_dist.types import BoolArray, ObjectQuery, SegmentedMask, UInt8Array

SIZE = 40
FRAME = np.zeros((SIZE, SIZE, 3), np.uint8)


class Answers:
    """Stands for SAM: gives these masks one after the other, and remembers what it was asked."""

    def __init__(self, *masks: BoolArray) -> None:
        self.masks, self.asked = list(masks), list[ObjectQuery]()

    def segment(
        self, image: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]:
        self.asked += queries
        return [SegmentedMask(query.object_id, self.masks.pop(0), 0.5, np.zeros((4, 4), np.float32)) for query in queries]


def blob(*squares: tuple[int, int]) -> BoolArray:
    """Squares of 8 pixels, each at x, y."""
    mask = np.zeros((SIZE, SIZE), bool)
    for x, y in squares:
        mask[y : y + 8, x : x + 8] = True
    return mask


def query(*clicks: tuple[int, int, int], of: BoolArray, corrects: bool = True) -> ObjectQuery:
    points, labels = np.array([c[:2] for c in clicks], np.float32), np.array([c[2] for c in clicks], np.int64)
    return ObjectQuery(1, points, labels, None, certain_logits(of), corrects)


def test_a_click_changes_what_it_is_in_and_nothing_else() -> None:
    before, little = blob((0, 0), (20, 0)), blob((20, 20))
    little[24:, 25:] = False
    sam = Answers(blob((0, 20)) | little, little, blob((0, 20)), blob())
    found = segment_in_rounds(sam, FRAME, query((22, 24, 1), (22, 2, 0), of=before), 0)
    assert np.array_equal(found.mask, blob((0, 0)) | little)
    first, _, last, _ = sam.asked
    assert (first.points.tolist(), last.points.tolist()) == ([[22, 24]], [[22, 2]])
    assert last.mask_logits is not None
    assert np.array_equal(last.mask_logits > 0, before | little)


def test_what_is_right_already_asks_nobody() -> None:
    sam = Answers()
    found = segment_in_rounds(sam, FRAME, query((2, 2, 1), (30, 30, 0), of=blob((0, 0))), 0)
    assert np.array_equal(found.mask, blob((0, 0)))


def test_an_empty_mask_is_none() -> None:
    sam = Answers(blob((0, 0)))
    assert segment_in_rounds(sam, FRAME, query((2, 2, 1), of=blob()), 0).mask.any()
    assert sam.asked[0].mask_logits is None


def test_what_corrects_nothing_is_asked_at_once() -> None:
    sam = Answers(blob((0, 20)))
    found = segment_in_rounds(sam, FRAME, query((2, 22, 1), (2, 2, 0), of=blob((0, 0)), corrects=False), 0)
    assert np.array_equal(found.mask, blob((0, 20)))
    assert len(sam.asked[0].points) == 2

"""Simulated clicks: deterministic, inside the right region, of the right sign; and the evaluation that uses them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.evaluation.clicks import evaluate_clicks, first_click, interior_point, mask_iou, next_click
from tam_dist.types import BoolArray, ObjectQuery, SegmentedMask, UInt8Array

masks = hnp.arrays(bool, (12, 17))


@given(masks)
def test_interior_point_lies_inside(mask: BoolArray) -> None:
    if mask.any():
        x, y = interior_point(mask)
        assert mask[y, x]


@given(masks, masks, masks)
def test_next_click_is_on_a_known_error_and_says_which(predicted: BoolArray, truth: BoolArray, valid: BoolArray) -> None:
    click = next_click(predicted, truth, valid)
    if click is None:
        assert not ((predicted != truth) & valid).any()
    else:
        x, y = int(click.x), int(click.y)
        assert valid[y, x]
        assert truth[y, x] == click.positive
        assert predicted[y, x] != click.positive


def test_frame_edge_counts_as_border() -> None:
    assert interior_point(np.ones((11, 21), bool)) == (5, 5)


def test_largest_error_region_wins() -> None:
    truth, predicted = np.zeros((2, 20, 30), bool)
    truth[2:8, 2:8] = True  # 36 missing
    predicted[10:20, 15:25] = True  # 100 too much
    click = next_click(predicted, truth)
    assert click is not None
    assert (click.positive, 15 <= click.x < 25, 10 <= click.y < 20) == (False, True, True)
    predicted[10:20, 15:25] = np.indices((10, 10)).sum(0) % 4 == 0  # more in sum, but in small pieces
    click = next_click(predicted, truth)
    assert click is not None
    assert click.positive


@given(masks, masks)
def test_iou_is_symmetric_and_bounded(a: BoolArray, b: BoolArray) -> None:
    assert 0 <= mask_iou(a, b) == mask_iou(b, a) <= 1
    assert mask_iou(a, a) == 1


class Oracle:
    """Half of the object at the first click, all of it from the second on; sure of itself in proportion."""

    def __init__(self, truth: BoolArray) -> None:
        self.truth = truth
        self.rounds: list[ObjectQuery] = []

    def segment(
        self, frame: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]:
        self.rounds.append(queries[0])
        mask = self.truth.copy()
        if len(queries[0].points) == 1:
            mask[:, 10:] = False
        return [SegmentedMask(1, mask, 0.5 if len(queries[0].points) == 1 else 1.0, np.zeros((4, 4), np.float32))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    labels = np.zeros((20, 30), np.uint8)
    labels[5:15, 5:15] = 1
    labels[0, 0] = 2  # too small to count
    labels[5:15, 15] = 255
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "images" / "a.jpg")
    Image.fromarray(labels).save(tmp_path / "masks" / "a.png")
    return tmp_path


def test_evaluation_counts_rounds_and_objects(folder: Path) -> None:
    truth = np.zeros((20, 30), bool)
    truth[5:15, 5:15] = True
    oracle = Oracle(truth)
    scores = evaluate_clicks(oracle, folder, clicks=(1, 2, 5))
    assert scores.objects == 1
    assert scores.mean_iou == {1: 0.5, 2: 1.0, 5: 1.0}
    assert scores.iou_correlation == pytest.approx(1.0)
    assert scores.iou_error == pytest.approx(0.0)
    assert len(oracle.rounds) == 2  # nothing was left to correct after the second
    assert oracle.rounds[0].mask_logits is None
    assert oracle.rounds[1].mask_logits is not None
    assert first_click(truth).positive


def test_nothing_to_measure_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"masks/\*\.png"):
        evaluate_clicks(Oracle(np.zeros((2, 2), bool)), tmp_path)

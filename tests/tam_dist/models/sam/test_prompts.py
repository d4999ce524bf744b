"""Where a mask prompt and points land in SAM's padded square."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.errors import PromptError
from tam_dist.models.sam.prompts import Geometry, encode_query, lay_out_mask
from tam_dist.types import ObjectQuery

CPU = torch.device("cpu")


def query(
    points: list[tuple[float, float]] | None = None,
    labels: list[int] | None = None,
    box: list[float] | None = None,
    mask: np.ndarray | None = None,
) -> ObjectQuery:
    return ObjectQuery(
        3,
        np.array(points or [], np.float32).reshape(-1, 2),
        np.array(labels or [1] * len(points or []), np.int64),
        None if box is None else np.array(box, np.float32),
        mask,
    )


@settings(deadline=None, max_examples=40)
@given(height=st.integers(20, 200), width=st.integers(20, 200), divisor=st.sampled_from([1, 2, 3]))
def test_mask_keeps_its_place_and_the_padding_is_outside(height: int, width: int, divisor: int) -> None:
    geometry, side = Geometry.of((height, width), 256), 64
    logits = np.full((-(-height // divisor), -(-width // divisor)), -5.0, np.float32)
    logits[:, : logits.shape[1] // 2] = 5.0  # the left half of the frame
    laid = lay_out_mask(logits, geometry, side)
    assert laid.shape == (1, 1, side, side)
    inside_h, inside_w = (round(extent / 4) for extent in geometry.inside)
    plane = laid[0, 0]
    middle = inside_w * (logits.shape[1] // 2) / logits.shape[1]
    columns = torch.arange(side) + 0.5
    assert (plane[: max(inside_h, 1), columns < middle - 1.5] > 0).all()
    assert (plane[:, columns > middle + 1.5] < 0).all()
    assert (plane[max(inside_h, 1) :] < 0).all()


def test_sams_own_logits_pass_unchanged() -> None:
    own = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32) * 40
    laid = lay_out_mask(own, Geometry.of((48, 80), 64), 16)
    np.testing.assert_array_equal(laid[0, 0].numpy(), own)


def test_infinite_logits_are_bounded() -> None:
    wild = np.array([[np.inf, -np.inf], [np.nan, 1.0]], np.float32)
    assert torch.isfinite(lay_out_mask(wild, Geometry.of((48, 80), 64), 16)).all()


def test_coordinates_are_scaled_with_the_frame() -> None:
    asked = encode_query(query([(40.0, 24.0)], box=[8, 8, 72, 40]), Geometry.of((48, 80), 160), 40, CPU)
    assert asked.points is not None
    assert asked.boxes is not None
    assert asked.points[0].tolist() == [[[80.0, 48.0]]]
    assert asked.boxes.tolist() == [[16.0, 16.0, 144.0, 80.0]]


def test_only_a_single_click_is_ambiguous() -> None:
    geometry, mask = Geometry.of((48, 80), 64), np.zeros((48, 80), np.float32)
    assert encode_query(query([(1, 1)]), geometry, 16, CPU).ambiguous
    for clear in (query([(1, 1), (2, 2)]), query(box=[0, 0, 9, 9]), query([(1, 1)], mask=mask), query(mask=mask)):
        assert not encode_query(clear, geometry, 16, CPU).ambiguous


@pytest.mark.parametrize(("wrong", "message"), [(query(), "without any"), (query([(1, 1)], [1, 0]), "1 points but 2 labels")])
def test_queries_that_make_no_sense(wrong: ObjectQuery, message: str) -> None:
    with pytest.raises(PromptError, match=f"Object 3 .*{message}"):
        encode_query(wrong, Geometry.of((48, 80), 64), 16, CPU)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from tam_dist.export.rle import LabelRuns, coco_mask, from_row_counts, row_counts

maps = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(maps)
def test_runs_of_a_label_map_are_pycocotools_own_of_each_mask(labels: np.ndarray) -> None:
    runs = LabelRuns.of(labels)
    for id_ in range(4):
        mask = labels == id_
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        ours = runs.coco(id_)
        assert ours["size"] == list(labels.shape)
        assert ours["counts"] == theirs["counts"].decode()
        assert runs.area(id_) == mask.sum()
        box = runs.box(id_)
        assert (box is None) == (not mask.any())
        if box is not None:
            assert box == tuple(int(v) for v in coco.toBbox(theirs))
        np.testing.assert_array_equal(coco_mask(dict(ours)), mask)
        np.testing.assert_array_equal(coco_mask({"size": list(labels.shape), "counts": row_counts(mask.T)}), mask)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_row_counts_begin_with_zeros_and_come_back(mask: np.ndarray) -> None:
    counts = row_counts(mask)
    assert sum(counts) == mask.size
    assert (counts[0] == 0) == bool(mask[0, 0])
    np.testing.assert_array_equal(from_row_counts(counts, *mask.shape), mask)


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [4, 4], "counts": [3, 99]},
        {"size": [4, 4], "counts": [-1, 17]},
        {"size": [4, 4], "counts": "\x00\x01"},
        {"size": [4, 4], "counts": "PPYo0"},
        {"size": [0, 4], "counts": []},
        {"size": [1 << 20, 1 << 20], "counts": "0"},
    ],
)
def test_runs_that_do_not_fill_their_picture_are_refused(rle: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        coco_mask(rle)

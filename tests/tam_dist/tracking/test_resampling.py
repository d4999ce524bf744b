from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.tracking.resampling import label_map, resize_frames, resize_mask
from tam_dist.tracking.spec import propagation_size


@given(st.integers(2, 4000), st.integers(2, 4000), st.integers(32, 720), st.booleans())
def test_sizes_keep_the_shape(height: int, width: int, short: int, enlarge: bool) -> None:
    h, w = propagation_size(height, width, short, enlarge=enlarge)
    scale = max(h, w) / max(height, width)
    assert h == pytest.approx(height * scale, abs=1)  # whole pixels
    assert w == pytest.approx(width * scale, abs=1)
    if min(height, width) >= short:
        assert min(h, w) == short
    elif not enlarge:
        assert (h, w) == (height, width)
    elif 4 * min(height, width) >= max(height, width):
        assert min(h, w) == short
    else:  # a strip would become as wide as it is not high
        assert max(h, w) <= max(4 * short, height, width)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([(6, 8), (12, 16), (9, 21)]))
def test_labels_are_those_of_the_dense_argmax(seed: int, objects: int, size: tuple[int, int]) -> None:
    probabilities = torch.rand(objects + 1, 6, 8, generator=torch.Generator().manual_seed(seed))
    ids = [2 * i + 3 for i in range(objects)]
    dense = torch.nn.functional.interpolate(probabilities[None], size=size, mode="bilinear", align_corners=False)[0]
    expected = np.array([0, *ids])[dense.argmax(0).numpy()]
    assert np.array_equal(label_map(probabilities, ids, size, np.dtype(np.uint8)), expected)


def test_ties_go_to_the_background() -> None:
    assert not label_map(torch.full((3, 4, 4), 1 / 3), [1, 2], (4, 4), np.dtype(np.uint8)).any()


def test_frames_of_the_right_size_are_copied_from_read_only_memory() -> None:
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    frames.flags.writeable = False
    small = resize_frames(frames, (4, 6))
    small[0] = 7
    assert not frames.any()
    assert resize_frames(frames, (2, 3)).shape == (2, 2, 3, 3)
    assert resize_frames(frames, (8, 12)).shape == (2, 8, 12, 3)


@pytest.mark.parametrize("size", [(16, 24), (192, 288)])
def test_a_mask_keeps_its_area(size: tuple[int, int]) -> None:
    mask = np.zeros((64, 96), bool)
    mask[10:33, 17:50] = True
    soft = resize_mask(mask, size)
    assert float(soft.mean()) == pytest.approx(mask.mean(), rel=1e-5)
    assert 0 <= float(soft.min()) <= float(soft.max()) <= 1

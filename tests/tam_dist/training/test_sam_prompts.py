"""Simulated prompts say what they claim about their target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.training.sam_prompts import CELL, KIND_SHARES, PromptKind, degrade, draw_box, draw_correction, draw_prompts

GRID = 32


def target(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = rng.integers(4, 28, 2)
    ys, xs = np.indices((GRID, GRID))
    return np.asarray((ys - y) ** 2 / 9 + (xs - x) ** 2 / 16 <= rng.uniform(0.2, 5), dtype=np.float32)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(list(KIND_SHARES)))
def test_shapes_and_truth(seed: int, kind: PromptKind) -> None:
    rng = np.random.default_rng(seed)
    targets = np.stack([target(seed), target(seed + 1)])
    prompts = draw_prompts(targets, rng, kind)
    assert (prompts.points is not None) == (kind in ("click", "points", "refine"))
    assert (prompts.boxes is not None) == (kind == "box")
    assert (prompts.masks is not None) == (kind in ("mask", "refine"))
    if prompts.masks is not None:
        assert prompts.masks.shape == (2, 1, GRID, GRID)
        assert np.isfinite(prompts.masks).all()
    if prompts.points is not None and prompts.labels is not None and kind != "refine":
        for points, labels, mask in zip(prompts.points, prompts.labels, targets, strict=True):
            assert labels[0] == 1
            for (x, y), label in zip(points[labels >= 0] / CELL, labels[labels >= 0], strict=True):
                assert (mask[int(y), int(x)] > 0.5) == bool(label)


def test_all_kinds_occur() -> None:
    assert sum(KIND_SHARES.values()) == pytest.approx(1)
    rng = np.random.default_rng(0)
    assert {draw_prompts(target(0)[None], rng).kind for _ in range(200)} == set(KIND_SHARES)


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_corrections_point_at_what_is_wrong(seed: int) -> None:
    truth, predicted, known = target(seed), target(seed + 1) > 0.5, np.ones((GRID, GRID), bool)
    (x, y), label = draw_correction(predicted, truth, known, np.random.default_rng(seed))
    cell = int(y / CELL), int(x / CELL)
    assert (truth[cell] > 0.5) == bool(label)
    if ((truth > 0.5) != predicted).any():
        assert predicted[cell] != bool(label)


def test_boxes_stay_near_their_object() -> None:
    mask = target(3) > 0.5
    ys, xs = np.nonzero(mask)
    exact = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) * CELL
    side = max(exact[2] - exact[0], exact[3] - exact[1])
    for seed in range(20):
        assert np.abs(draw_box(mask, np.random.default_rng(seed)) - exact).max() <= 0.1 * side + 1e-3


def test_degraded_masks_differ_but_resemble() -> None:
    truth = target(5) > 0.5
    overlaps = []
    for seed in range(40):
        mask = degrade(target(5), np.random.default_rng(seed)) > 0
        overlaps.append((mask & truth).sum() / (mask | truth).sum())
    assert 0.3 < np.mean(overlaps) < 0.95
    assert min(overlaps) < 0.6 < max(overlaps)

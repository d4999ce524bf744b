"""Simulated prompts for training the small SAM: clicks, boxes, and masks as good or bad as a tracker's.

Everything here works on the mask decoder's grid (a quarter of the input's side): a cell is four input pixels wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tam_dist.evaluation.clicks import next_click
from tam_dist.regions import interior_distance
from tam_dist.types import BoolArray, FloatArray

CELL = 4  # input pixels a cell of the mask grid spans

PromptKind = Literal["click", "points", "box", "mask", "refine"]
# How often an image's prompts start as each kind. "points": several clicks at once, in and out; "refine": what the tracker
# asks, its mask and points in and out.
KIND_SHARES: dict[PromptKind, float] = {"click": 0.6, "points": 0.07, "box": 0.1, "mask": 0.06, "refine": 0.17}


@dataclass(frozen=True, eq=False)
class Prompts:
    """First-round prompts of P targets of one image: ``points`` float32 (P, N, 2) x, y in input pixels; ``labels`` int64
    (P, N), 1 in, 0 out, -1 none; ``boxes`` float32 (P, 4) or None; ``masks`` float32 logits (P, 1, G, G) or None."""

    kind: PromptKind
    points: FloatArray | None
    labels: NDArray[np.int64] | None
    boxes: FloatArray | None
    masks: FloatArray | None


def draw_prompts(targets: FloatArray, rng: np.random.Generator, kind: PromptKind | None = None) -> Prompts:
    """``targets``: float32 (P, G, G) coverage; the kind is drawn unless given, one for all targets of an image."""
    if kind is None:
        kind = rng.choice(list(KIND_SHARES), p=list(KIND_SHARES.values()))
    masks = [target > 0.5 if (target > 0.5).any() else target >= target.max() for target in targets]
    if kind == "click":
        points = np.stack([[draw_point(mask, rng)] for mask in masks])
        return Prompts(kind, points, np.ones((len(masks), 1), np.int64), None, None)
    if kind == "box":
        return Prompts(kind, None, None, np.stack([draw_box(mask, rng) for mask in masks]), None)
    logits = None if kind == "points" else np.stack([[degrade(target, rng)] for target in targets])
    if kind == "mask":
        return Prompts(kind, None, None, None, logits)
    slots, wrong = (5, 0.0) if kind == "points" else (3, 0.03)
    both = [_both_sides(mask, slots, wrong, rng) for mask in masks]
    return Prompts(kind, np.stack([points for points, _ in both]), np.stack([labels for _, labels in both]), None, logits)


def draw_point(region: BoolArray, rng: np.random.Generator) -> FloatArray:
    """A click, float32 (2,), in ``region`` (not empty): half the time in its middle, else anywhere but at the very edge."""
    distance = interior_distance(region)
    nearest = distance.max() * (rng.uniform(0.8, 1.0) if rng.random() < 0.5 else rng.uniform(0.0, 0.5))
    cells = np.flatnonzero(region & (distance >= nearest))
    y, x = divmod(int(rng.choice(cells)), region.shape[1])
    return ((np.array([x, y]) + rng.random(2)) * CELL).astype(np.float32)


def draw_correction(
    predicted: BoolArray, target: FloatArray, known: BoolArray, rng: np.random.Generator
) -> tuple[FloatArray, int]:
    """The next click, float32 (2,), and its label: half the time the evaluation protocol's, else anywhere in the error; where
    nothing is wrong, a click inside the object."""
    truth = target > 0.5
    if rng.random() < 0.5:
        click = next_click(predicted, truth, known)
        if click is not None:
            position = (np.array([click.x, click.y]) + rng.random(2)) * CELL
            return position.astype(np.float32), int(click.positive)
    wrong = (predicted != truth) & known
    if not wrong.any():
        wrong = truth if truth.any() else target >= target.max()
    y, x = divmod(int(rng.choice(np.flatnonzero(wrong))), wrong.shape[1])
    return ((np.array([x, y]) + rng.random(2)) * CELL).astype(np.float32), int(target[y, x] > 0.5)


def draw_box(region: BoolArray, rng: np.random.Generator) -> FloatArray:
    """``region``'s box, float32 x0 y0 x1 y1 in input pixels, each side moved by up to a tenth of it (SAM, section A)."""
    ys, xs = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    x0, x1, y0, y1 = xs[0], xs[-1] + 1, ys[0], ys[-1] + 1
    noise = rng.normal(0, 0.05, 4).clip(-0.1, 0.1) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
    corners = (np.array([x0, y0, x1, y1]) + noise) * CELL
    return np.asarray(corners.clip(0, region.shape[0] * CELL), dtype=np.float32)


def degrade(target: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Logits, float32 (G, G), of ``target`` as a tracker might predict it: moved, too thin or thick, with a piece missing or
    added, blurred, more or less sure of itself."""
    grid = target.shape[0]
    mask: NDArray[Any] = target.copy()
    size = max(2.0, float(np.sqrt(mask.sum())))
    if rng.random() < 0.5:
        shift = rng.normal(0, 0.08 * size, 2)
        mask = cv2.warpAffine(mask, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (grid, grid))
    if rng.random() < 0.5:
        width = 1 + 2 * int(rng.integers(1, max(2, round(0.12 * size)) + 1))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
        mask = cv2.dilate(mask, kernel) if rng.random() < 0.6 else cv2.erode(mask, kernel)
    for added in (0.0, 1.0):
        if rng.random() < 0.4:
            y, x = divmod(int(rng.choice(np.flatnonzero(target >= 0.5 * target.max()))), grid)
            axes = np.maximum(1, rng.uniform(0.1, 0.45, 2) * size).astype(int)
            offset = rng.normal(0, 0.5 * size, 2) * added
            centre = (round(x + offset[0]), round(y + offset[1]))
            mask = cv2.ellipse(mask, centre, (int(axes[0]), int(axes[1])), rng.uniform(0, 180), 0, 360, added, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.5))
    share = np.clip(mask, 0.002, 0.998)
    return np.asarray(np.log(share / (1 - share)) * rng.uniform(0.5, 2.0), dtype=np.float32)


def _both_sides(mask: BoolArray, slots: int, wrong: float, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64]]:
    """One to ``slots`` points, positive inside, negative near the border outside, of which a share ``wrong`` is mislabelled;
    float32 (slots, 2) and int64 (slots,), -1 where unused."""
    points = np.zeros((slots, 2), np.float32)
    labels = np.full(slots, -1, np.int64)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~mask
    for slot in range(int(rng.integers(1, slots + 1))):
        positive = slot == 0 or rng.random() < 0.6 or not near.any()
        points[slot] = draw_point(mask if positive else near, rng)
        labels[slot] = int(positive) if rng.random() >= wrong else 1 - int(positive)
    return points, labels

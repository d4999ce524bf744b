"""How well a score ranks: what quality scores are judged by."""

from __future__ import annotations

import numpy as np

from tam_dist.types import BoolArray, FloatArray


def auroc(score: FloatArray, bad: BoolArray) -> float:
    """The chance that a bad one has a lower score than a good one, equal scores counting half; NaN for only one kind.

    >>> auroc(np.array([0.1, 0.4, 0.9], np.float32), np.array([True, False, False]))
    1.0
    """
    good, worse = np.sort(score[~bad]), score[bad]
    if not len(good) or not len(worse):
        return float("nan")
    below = np.searchsorted(good, worse, "left") + np.searchsorted(good, worse, "right")
    return float(1 - below.sum() / (2 * len(good) * len(worse)))


def spearman(a: FloatArray, b: FloatArray) -> float:
    """Correlation of ranks, equal values sharing theirs.

    >>> round(spearman(np.array([1, 2, 3], np.float32), np.array([1, 4, 9], np.float32)), 3)
    1.0
    """
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - counts / 2).astype(np.float32)[inverse]
    return ranks

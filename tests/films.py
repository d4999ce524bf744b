"""Films of several shots."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tam_dist.types import UInt8Array
from tests.tiny import moving_square


def film(cuts: list[int], frame_count: int) -> UInt8Array:
    """uint8 (T, 48, 64, 3): a bright square on dark ground and a dark one on bright ground in turn, from each cut on another.
    Shots of at most 22 frames hold no cut of their own.
    """
    shots = [moving_square(stop - start, seed=n) for n, (start, stop) in enumerate(pairwise([0, *cuts, frame_count]))]
    return np.concatenate([shot if n % 2 else 255 - shot for n, shot in enumerate(shots)])

"""Instances out of masks that only say where something moves."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tam_dist.training.layers import IGNORE
from tam_dist.types import UInt8Array


def follow_components(maps: Sequence[UInt8Array], *, most: int, smallest: float = 0.0008) -> list[UInt8Array]:
    """Connected pieces of label 1 get the instance number 1..``most`` of the piece that they overlap most in the frame before.

    Whatever cannot be told is "not known" rather than guessed: pieces below ``smallest`` of the frame, a piece in which two
    instances meet, and the smaller part of one that falls apart. An instance not seen in a frame is over: when it comes out
    of a merger it is a new one, for nothing here can say which.
    """
    result: list[UInt8Array] = []
    before = np.zeros(maps[0].shape, np.uint8)
    used = 0
    for frame in maps:
        count, pieces = cv2.connectedComponents((frame == 1).astype(np.uint8), connectivity=8)
        labels = np.where(frame == IGNORE, IGNORE, 0).astype(np.uint8)
        heirs: dict[int, int] = {}
        areas = np.bincount(pieces.ravel(), minlength=count)
        sizes = np.bincount(before.ravel(), minlength=256)
        for piece in sorted(range(1, count), key=lambda p: -areas[p]):
            inside = pieces == piece
            overlaps = np.bincount(before[inside], minlength=256)
            overlaps[0] = 0
            from_unknown = overlaps[IGNORE] > 0.5 * areas[piece]
            overlaps[IGNORE] = 0
            met = np.flatnonzero(overlaps > 0.1 * np.minimum(sizes, areas[piece]))
            instance = IGNORE
            if areas[piece] >= smallest * frame.size and len(met) <= 1:
                if len(met) == 1 and int(met[0]) not in heirs:
                    instance = int(met[0])
                    heirs[instance] = piece
                elif not len(met) and not from_unknown and used < most:
                    used += 1
                    instance = used
            labels[inside] = instance
        result.append(labels)
        before = labels
    return result

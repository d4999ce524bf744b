"""Colours of labels: the palette of VOC and DAVIS for files, and a table from the objects' own colours for pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tam_dist.types import TrackedObject, UInt8Array


def palette(count: int = 256) -> UInt8Array:
    """uint8 (count, 3): the palette of PASCAL VOC and DAVIS, in which the bits of an id are dealt to red, green and blue in
    turn.

    >>> palette(4).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    ids = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((ids >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def colour_table(objects: Sequence[TrackedObject]) -> UInt8Array:
    """uint8 (256 or 65536, 3): the colour of each label; labels that are no object's are white, the background black."""
    size = 256 if all(item.id < 256 for item in objects) else 65536
    table = np.full((size, 3), 255, np.uint8)
    table[0] = 0
    for item in objects:
        table[item.id] = item.colour
    return table

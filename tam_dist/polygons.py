"""Outlines in prompt files become masks."""

from __future__ import annotations

import cv2
import numpy as np

from tam_dist.errors import PromptError
from tam_dist.types import Mask

_LARGEST_SIDE = 1 << 15
_FORM = "a list of corners [[x, y], ...], three at least, or of several such lists"


def polygon_mask(polygon: object, size: object, where: str) -> Mask:
    """The mask of ``polygon``, [[x, y], ...] or several of them, in a picture of ``size`` [width, height]: filled, with the
    pixels that its outline runs through. Raises :class:`PromptError` that begins with ``where``.

    >>> int(polygon_mask([[1, 1], [3, 1], [3, 2], [1, 2]], [8, 4], "").to_array().sum())
    6
    """
    if not (isinstance(size, list) and len(size) == 2 and all(_is_side(v) for v in size)):
        raise PromptError(f'{where} needs the field "size": the width and height of the picture it was drawn on, [1920, 1080].')
    parts = polygon if _is_nested(polygon) else [polygon]
    width, height = size
    canvas = np.zeros((height, width), np.uint8)
    assert isinstance(parts, list)
    for part in parts:
        corners = _corners(part)
        if corners is None:
            raise PromptError(f'{where}, field "polygon", must be {_FORM}.')
        if (corners < -0.5).any() or (corners > np.array([width, height]) - 0.5).any():
            raise PromptError(f'{where}, field "polygon", has a corner outside its picture of {width}x{height}.')
        cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 1)
    return Mask.from_array(canvas.astype(bool))


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_SIDE


def _is_nested(polygon: object) -> bool:
    """Whether it is a list of polygons."""
    return bool(
        isinstance(polygon, list)
        and polygon
        and isinstance(polygon[0], list)
        and polygon[0]
        and isinstance(polygon[0][0], list)
    )


def _corners(part: object) -> np.ndarray | None:
    """float64 (n, 2), or None where ``part`` is no polygon."""
    if not isinstance(part, list) or len(part) < 3:
        return None
    for corner in part:
        if not isinstance(corner, list) or len(corner) != 2:
            return None
        if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in corner):
            return None
    return np.asarray(part, np.float64)

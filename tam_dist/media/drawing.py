"""Drawing masks and names into pictures: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tam_dist.media.colours import colour_table
from tam_dist.types import BoolArray, LabelArray, TrackedObject, UInt8Array


@dataclass(frozen=True)
class Style:
    """How masks are shown: ``tint`` 0..1 of the object's colour over its pixels, a contour in that colour (its width in pixels,
    0: none, None: fitted to the picture), and the names.
    """

    tint: float = 0.4
    contour: int | None = None
    names: bool = True


def tint(frame: UInt8Array, labels: LabelArray, colours: UInt8Array, alpha: float) -> UInt8Array:
    """A copy of ``frame`` (H, W, 3) with ``alpha`` of ``colours[label]`` mixed into each pixel that has a label above 0."""
    mixed = cv2.addWeighted(frame, 1 - alpha, colours[labels], alpha, 0)
    return np.where((labels > 0)[:, :, None], mixed, frame)


def contours(labels: LabelArray, width: int = 1) -> BoolArray:
    """bool (H, W): the pixels of each object within ``width`` of another label; the picture's edge is no border.

    >>> contours(np.array([[0, 1, 1, 1, 0]], np.uint8)).tolist()
    [[False, True, False, True, False]]
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    differs = (cv2.erode(labels, kernel) != labels) | (cv2.dilate(labels, kernel) != labels)
    return np.asarray(differs & (labels > 0), dtype=bool)


def draw_objects(
    frame: UInt8Array, labels: LabelArray | None, objects: Sequence[TrackedObject], style: Style | None = None
) -> UInt8Array:
    """A copy of ``frame`` with the objects of ``labels`` drawn as ``style`` says.

    ``frame`` uint8 (H, W, 3) RGB; ``labels`` uint8 or uint16 (H, W) of object ids, or None where the frame was not tracked.
    """
    style = style or Style()
    if labels is None or not labels.any():
        return frame.copy()
    colours = colour_table(objects)
    drawn = tint(frame, labels, colours, style.tint)
    width = fitted_contour(*labels.shape) if style.contour is None else style.contour
    if width > 0:
        edge = contours(labels, width)
        drawn[edge] = colours[labels[edge]]
    if style.names:
        for item in objects:
            x, y, w, h = cv2.boundingRect((labels == item.id).view(np.uint8))
            if w and h:
                _paste(drawn, name_tag(item.name, item.colour, tag_size(labels.shape[0])), x + w // 2, y)
    return drawn


def fitted_contour(height: int, width: int) -> int:
    """A contour as wide as suits a picture: 1 pixel up to 360 lines, 2 at 720, 3 at 1080."""
    return max(1, round(min(height, width) / 360))


def tag_size(height: int) -> int:
    """The size of names in a picture of this height."""
    return max(11, height // 34)


@lru_cache(maxsize=1024)
def name_tag(name: str, colour: tuple[int, int, int], size: int) -> UInt8Array:
    """uint8 (h, w, 4) RGBA: ``name`` on a rounded tag of ``colour``, in black or white, whichever reads better."""
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(name)
    pad = round(size * 0.45)
    width, height = round(right - left) + 2 * pad, round(size * 1.55)
    tag = Image.new("RGBA", (width * 4, height * 4), (*colour, 0))
    ImageDraw.Draw(tag).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), radius=height, fill=(*colour, 235))
    tag = tag.resize((width, height), Image.Resampling.LANCZOS)
    ink = (16, 16, 18, 255) if np.dot(colour, (0.299, 0.587, 0.114)) > 128 else (255, 255, 255, 255)
    ImageDraw.Draw(tag).text((width / 2, height / 2), name, font=font, fill=ink, anchor="mm")
    return np.asarray(tag)


def _paste(picture: UInt8Array, tag: UInt8Array, centre: int, bottom: int) -> None:
    """Lay ``tag`` over ``picture`` just above (``centre``, ``bottom``), moved inside where it would stick out."""
    height, width = min(tag.shape[0], picture.shape[0]), min(tag.shape[1], picture.shape[1])
    x = int(np.clip(centre - width // 2, 0, picture.shape[1] - width))
    y = int(np.clip(bottom - height - 3, 0, picture.shape[0] - height))
    under, over = picture[y : y + height, x : x + width], tag[:height, :width]
    share = over[:, :, 3:].astype(np.uint16)
    under[:] = ((over[:, :, :3] * share + under * (255 - share) + 127) // 255).astype(np.uint8)

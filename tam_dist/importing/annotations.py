"""What a reader finds in a file or folder: shapes of objects on numbered frames, whatever format they lay in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tam_dist.errors import MaskFileError
from tam_dist.export.rle import coco_mask, from_row_counts
from tam_dist.types import BoolArray, Box, LabelArray

#: More pixels than any frame has; a file that claims so many is meant to fill the memory.
MAX_PIXELS = 1 << 27

Painted = Sequence[tuple[int, BoolArray]]
"""Masks bool (h, w) of one frame with the indices of their objects."""


class Shape(Protocol):
    """An outline or mask of one object on one frame."""

    def mask(self, height: int, width: int) -> BoolArray:
        """bool, in the file's own size where it has one, else (height, width). Raises :class:`ValueError` where damaged."""


@dataclass(frozen=True)
class CocoShape:
    """``rle``: COCO's, with ``size`` and ``counts``."""

    rle: dict[str, object]

    def mask(self, height: int, width: int) -> BoolArray:  # noqa: ARG002
        return coco_mask(self.rle)


@dataclass(frozen=True)
class CocoPolygon:
    """COCO's: outlines of parts, x and y in turn, on a picture of ``height`` and ``width``, drawn as COCO's own tools do."""

    parts: tuple[tuple[float, ...], ...]
    height: int
    width: int

    def mask(self, height: int, width: int) -> BoolArray:  # noqa: ARG002
        from pycocotools import mask as coco

        # Coordinates far outside make pycocotools allocate as much.
        parts = [np.clip(_corners(part), -1, (self.width + 1, self.height + 1)).ravel().tolist() for part in self.parts]
        rles = coco.frPyObjects(parts, self.height, self.width)
        return np.asarray(coco.decode(coco.merge(rles)), bool)


@dataclass(frozen=True)
class RowShape:
    """CVAT's: runs row by row inside a box."""

    left: int
    top: int
    width: int
    height: int
    counts: tuple[int, ...]

    def mask(self, height: int, width: int) -> BoolArray:
        right, bottom = self.left + self.width, self.top + self.height
        if min(self.left, self.top) < 0 or min(self.width, self.height) < 1 or right > width or bottom > height:
            box = f"{self.left},{self.top},{self.width},{self.height}"
            raise ValueError(f"its box {box} is outside a picture of {width}x{height}")
        out = np.zeros((height, width), bool)
        inside = from_row_counts(self.counts, self.height, self.width)
        out[self.top : bottom, self.left : right] = inside
        return out


@dataclass(frozen=True)
class PolygonShape:
    """Outlines of parts, x and y in turn, through the centres of pixels; filled with their rim."""

    parts: tuple[tuple[float, ...], ...]

    def mask(self, height: int, width: int) -> BoolArray:
        out = np.zeros((height, width), np.uint8)
        for part in self.parts:
            cv2.fillPoly(out, [np.clip(np.round(_corners(part)), -(1 << 15), 1 << 15).astype(np.int32)], 1)
        return out.astype(bool)


@dataclass
class Annotations:
    """``names`` of objects in the order of their ids here; ``shapes`` and ``boxes`` by frame number as the file counts, each
    with the object's index in ``names``. Where frames are ``pictures``, ``paint`` reads one; ``stems`` are their names.
    ``listed`` are frames that the file speaks of, though it may have nothing on them. ``size`` is (width, height), where known;
    ``notes`` are for people.
    """

    where: str
    form: str
    names: list[str] = field(default_factory=list)
    shapes: dict[int, list[tuple[int, Shape]]] = field(default_factory=dict)
    boxes: dict[int, list[tuple[int, Box]]] = field(default_factory=dict)
    paint: Callable[[int], Painted] | None = None
    pictures: Sequence[int] = ()
    stems: dict[int, str] = field(default_factory=dict)
    listed: set[int] = field(default_factory=set)
    size: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def frames(self) -> list[int]:
        """Frame numbers, as the file counts, that it speaks of."""
        return sorted({*self.pictures, *self.listed, *self.shapes, *self.boxes})

    @property
    def has_masks(self) -> bool:
        return bool(self.shapes) or self.paint is not None

    def index(self, name: str) -> int:
        """Of an object that may be new."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def add(self, frame: int, name: str, shape: Shape) -> None:
        self.shapes.setdefault(frame, []).append((self.index(name), shape))

    def add_box(self, frame: int, name: str, box: Box) -> None:
        self.boxes.setdefault(frame, []).append((self.index(name), box))

    def masks(self, frame: int, height: int, width: int) -> Painted:
        """All masks of a frame, of whatever size they have. Raises :class:`MaskFileError` naming the frame of a damaged one."""
        if self.paint is not None:
            return self.paint(frame) if frame in self.pictures else ()
        wide, high = self.size or (width, height)
        out = []
        for index, shape in self.shapes.get(frame, ()):
            try:
                out.append((index, shape.mask(high, wide)))
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise MaskFileError(
                    f"{self.where}: the mask of {self.names[index]!r} on frame {frame} is damaged, {error}: export it again."
                ) from error
        return out


def _corners(part: tuple[float, ...]) -> NDArray[np.float64]:
    """(n, 2) x, y."""
    if len(part) < 6 or len(part) % 2 or not np.isfinite(part).all():
        raise ValueError("a polygon of it has fewer than three corners, or an odd number of coordinates")
    return np.reshape(np.asarray(part, np.float64), (-1, 2))


def fitted(mask: BoolArray, height: int, width: int, where: str) -> BoolArray:
    """``mask`` in the video's size, by nearest pixels. Raises :class:`MaskFileError` where its shape is another."""
    high, wide = mask.shape
    if (high, wide) == (height, width):
        return mask
    if abs(wide / high - width / height) > 0.02 * width / height:
        raise MaskFileError(
            f"{where} has masks of {wide}x{high}, and the video is {width}x{height}, which is another shape: give the masks of "
            "this video."
        )
    resized = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, bool)


def check_size(width: int, height: int, where: str) -> None:
    """Raises :class:`MaskFileError` for a picture that no memory should be given to."""
    if width * height > MAX_PIXELS or min(width, height) < 1:
        raise MaskFileError(f"{where} claims to be {width}x{height} pixels, which is no frame of a video: leave it out.")


def painted(masks: Painted, height: int, width: int, objects: int, where: str) -> tuple[LabelArray, int]:
    """The label map (height, width) of ``masks``, object i as i + 1, later over earlier; and how many pixels were in two."""
    labels = np.zeros((height, width), np.uint8 if objects <= 254 else np.uint16)
    twice = 0
    for index, mask in masks:
        inside = fitted(mask, height, width, where)
        twice += int(np.count_nonzero(labels[inside]))
        labels[inside] = index + 1
    return labels, twice

"""Images with object masks, for training the small SAM.

A folder of stills holds ``images/NAME.jpg`` with ``masks/NAME.png`` (whole objects) or ``regions/NAME.png`` (human-drawn
regions, parts and wholes): indexed or grey PNG, 0 background, 1..K objects, 255 unknown. Frames of annotated videos in DAVIS's
layout may be mixed in, and what :mod:`tam_dist.training.prepare` packed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.training.packed import PackedPictures
from tam_dist.types import UInt8Array

UNKNOWN = 255


class LabelledImage(Protocol):
    """An image with its label map; ``name`` is what lists of held-out images go by."""

    @property
    def name(self) -> str: ...

    def read(self) -> tuple[UInt8Array, UInt8Array]:
        """uint8 (H, W, 3) RGB and uint8 (H, W) labels."""
        ...


@dataclass(frozen=True)
class ImageFiles:
    """Paths of an image and of its label map."""

    name: str
    image: Path
    labels: Path

    def read(self) -> tuple[UInt8Array, UInt8Array]:
        """uint8 (H, W, 3) RGB and uint8 (H, W) labels."""
        image = np.asarray(Image.open(self.image).convert("RGB"))
        labels = np.asarray(Image.open(self.labels))
        if labels.ndim == 3:
            labels = labels[..., 0]
        return image, labels.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class PackedImage:
    """One picture of a packed source."""

    name: str
    pictures: PackedPictures
    number: int

    def read(self) -> tuple[UInt8Array, UInt8Array]:
        """uint8 (H, W, 3) RGB and uint8 (H, W) labels."""
        picture = self.pictures[self.number]
        return np.asarray(picture.image), np.asarray(picture.labels)


def list_packed(source: Path) -> list[LabelledImage]:
    """The first picture of every group of a packed ``source``, named like its file, without the folder and the ending."""
    pictures = PackedPictures(source)
    pairs = zip(pictures.names, pictures.groups, strict=True)
    return [PackedImage(PurePosixPath(name).stem, pictures, first) for name, (first, _) in pairs]


def list_stills(folder: Path, *, kinds: Iterable[str] = ("masks", "regions")) -> list[LabelledImage]:
    """All images of ``folder`` with labels of one of ``kinds``, by name. Raises :class:`ConfigError` where there are none."""
    found: list[LabelledImage] = [
        ImageFiles(labels.stem, folder / "images" / f"{labels.stem}.jpg", labels)
        for kind in kinds
        for labels in sorted((folder / kind).glob("*.png"))
    ]
    if not found:
        raise ConfigError(f"There are no label maps in {folder}; expected masks/*.png or regions/*.png beside images/*.jpg.")
    return sorted(found, key=lambda item: item.name)


def list_video_frames(folder: Path, *, every: int) -> list[LabelledImage]:
    """Every ``every``-th annotated frame below a DAVIS layout's ``JPEGImages`` and ``Annotations``."""
    found: list[LabelledImage] = []
    for sequence in sorted(path for path in (folder / "Annotations").rglob("*") if path.is_dir()):
        for labels in sorted(sequence.glob("*.png"))[::every]:
            relative = labels.relative_to(folder / "Annotations").with_suffix(".jpg")
            found.append(ImageFiles(str(relative.with_suffix("")), folder / "JPEGImages" / relative, labels))
    if not found:
        raise ConfigError(f"There are no annotated frames in {folder}; expected JPEGImages/ and Annotations/ as in DAVIS.")
    return found


def choose_heldout(names: Iterable[str], count: int) -> list[str]:
    """``count`` names by the order of their SHA-256, so that adding images never moves one between the two sets by chance.

    >>> choose_heldout(["a", "b", "c"], 1) == choose_heldout(["c", "a", "b"], 1)
    True
    """
    return sorted(sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:count])


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """A padded square: ``image`` uint8 (S, S, 3) RGB, of which ``extent`` (height, width) is picture; ``targets`` float32
    (P, S/4, S/4) share of each cell that the object covers; ``known`` float32 (S/4, S/4), 0 where the truth is unknown."""

    image: UInt8Array
    extent: tuple[int, int]
    targets: NDArray[np.float32]
    known: NDArray[np.float32]


def make_training_image(
    items: Sequence[LabelledImage], size: int, count: int, rng: np.random.Generator, *, minimum: float = 0.002
) -> TrainingImage | None:
    """One random view, or several side by side, with ``count`` targets drawn from the objects that cover at least ``minimum``
    of it; None where no object does.

    One item is laid out as the model sees a frame, fitted and padded; two or four share the square. Most images show one
    object, so a network that never looks at the click does well on them; with several images in a square only the click
    says which object is meant.
    """
    if len(items) == 1:
        image, ids, extent = _fitted(items[0], size, rng)
    else:
        image, ids = _tiled(items, size, rng)
        extent = (size, size)
    found, areas = np.unique(ids[ids > UNKNOWN], return_counts=True)
    found = found[areas >= minimum * size * size]
    if not len(found):
        return None
    # The ground behind the objects is something to click on too, only less often.
    weights = np.where(found % _TILE == _GROUND, 0.15, 1.0)
    order = rng.choice(found, len(found), replace=False, p=weights / weights.sum())
    chosen = [int(order[i % len(order)]) for i in range(count)]
    grid = (size // 4, size // 4)
    targets = {k: cv2.resize((ids == k).astype(np.float32), grid, interpolation=cv2.INTER_AREA) for k in set(chosen)}
    known = cv2.resize((ids != UNKNOWN).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    return TrainingImage(image, extent, np.stack([targets[k] for k in chosen]), known)


# Object ids in a square: 1000 times the tile, plus the label; the ground of tile t is 1000 t + 999.
_TILE, _GROUND = 1000, 999


def _identify(labels: UInt8Array, tile: int) -> NDArray[np.int32]:
    ids = labels.astype(np.int32) + tile * _TILE
    ids[labels == 0] = tile * _TILE + _GROUND
    ids[labels == UNKNOWN] = UNKNOWN
    return ids


def _fitted(item: LabelledImage, size: int, rng: np.random.Generator) -> tuple[UInt8Array, NDArray[np.int32], tuple[int, int]]:
    """The whole image or a large part of it, its long side ``size``, at the top left of the square."""
    image, labels = item.read()
    height, width = labels.shape
    scale, aspect = (rng.uniform(0.45, 1.0), np.exp(rng.uniform(-0.25, 0.25))) if rng.random() < 0.5 else (1.0, 1.0)
    w, h = min(width * scale * aspect, width), min(height * scale / aspect, height)
    factor = size / max(w, h)
    extent = (max(1, round(h * factor)), max(1, round(w * factor)))
    view, view_labels = _crop(image, labels, (h, w), extent, rng)
    square, ids = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.int32)
    square[: extent[0], : extent[1]] = _jitter(view, rng)
    ids[: extent[0], : extent[1]] = _identify(view_labels, 1)
    return square, ids, extent


def _tiled(items: Sequence[LabelledImage], size: int, rng: np.random.Generator) -> tuple[UInt8Array, NDArray[np.int32]]:
    """Two images one above or beside the other, or four in quarters; the cut is near the middle."""
    cuts = (rng.uniform(0.35, 0.65, 2) * size).round().astype(int)
    rows, columns = ([0, cuts[0], size], [0, cuts[1], size])
    if len(items) == 2:
        if rng.random() < 0.5:
            rows = [0, size]
        else:
            columns = [0, size]
    square, ids = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.int32)
    places = [(r, c) for r in pairwise(rows) for c in pairwise(columns)]
    for tile, (item, ((y0, y1), (x0, x1))) in enumerate(zip(items, places, strict=True), start=1):
        image, labels = item.read()
        height, width = labels.shape
        out_h, out_w = int(y1 - y0), int(x1 - x0)
        factor = min(height / out_h, width / out_w) * rng.uniform(0.6, 1.0)
        view, view_labels = _crop(image, labels, (out_h * factor, out_w * factor), (out_h, out_w), rng)
        square[y0:y1, x0:x1] = _jitter(view, rng)
        ids[y0:y1, x0:x1] = _identify(view_labels, tile)
    return square, ids


def _crop(
    image: UInt8Array, labels: UInt8Array, area: tuple[float, float], out: tuple[int, int], rng: np.random.Generator
) -> tuple[UInt8Array, UInt8Array]:
    """A part of ``area`` (height, width) around some object, enlarged to ``out`` (height, width), flipped half the time."""
    (h, w), (new_h, new_w) = area, out
    height, width = labels.shape
    inside = np.flatnonzero(((labels > 0) & (labels < UNKNOWN)).ravel())
    y, x = divmod(int(rng.choice(inside)), width) if len(inside) else (height // 2, width // 2)
    x0 = float(np.clip(x - w * rng.uniform(0.2, 0.8), 0, width - w))
    y0 = float(np.clip(y - h * rng.uniform(0.2, 0.8), 0, height - h))
    sx, sy = new_w / w, new_h / h
    # Pixel centres: output (u + .5) = (x + .5 - x0) * s, mirrored for a flip.
    matrix = np.array([[sx, 0, (0.5 - x0) * sx - 0.5], [0, sy, (0.5 - y0) * sy - 0.5]])
    if rng.random() < 0.5:
        matrix[0] = [-matrix[0, 0], 0, new_w - 1 - matrix[0, 2]]
    warped = [
        cv2.warpAffine(array, matrix, (new_w, new_h), flags=how, borderMode=cv2.BORDER_REPLICATE)
        for array, how in ((image, cv2.INTER_LINEAR), (labels, cv2.INTER_NEAREST))
    ]
    return warped[0].astype(np.uint8), warped[1].astype(np.uint8)


def _jitter(image: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Brightness, contrast, saturation; now and then the blur and coarse resolution of video."""
    out = image.astype(np.float32)
    if rng.random() < 0.8:
        grey = out.mean(axis=2, keepdims=True)
        out = grey + (out - grey) * rng.uniform(0.6, 1.4)
        out = (out - 128) * rng.uniform(0.75, 1.25) + 128 + rng.uniform(-25, 25)
    if rng.random() < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 1.5)).astype(np.float32)
    return np.clip(out, 0, 255).astype(np.uint8)

"""Still images with object masks, for training the small SAM.

A folder holds ``images/NAME.jpg`` with ``masks/NAME.png`` (whole objects) or ``regions/NAME.png`` (human-drawn regions,
parts and wholes): indexed or grey PNG, 0 background, 1..K objects, 255 unknown. Frames of annotated videos in DAVIS's
layout may be mixed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.types import UInt8Array

UNKNOWN = 255


@dataclass(frozen=True)
class LabelledImage:
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


def list_stills(folder: Path, *, kinds: Iterable[str] = ("masks", "regions")) -> list[LabelledImage]:
    """All images of ``folder`` with labels of one of ``kinds``, by name. Raises :class:`ConfigError` where there are none."""
    found = [
        LabelledImage(labels.stem, folder / "images" / f"{labels.stem}.jpg", labels)
        for kind in kinds
        for labels in sorted((folder / kind).glob("*.png"))
    ]
    if not found:
        raise ConfigError(f"There are no label maps in {folder}; expected masks/*.png or regions/*.png beside images/*.jpg.")
    return sorted(found, key=lambda item: item.name)


def list_video_frames(folder: Path, *, every: int) -> list[LabelledImage]:
    """Every ``every``-th annotated frame below a DAVIS layout's ``JPEGImages`` and ``Annotations``."""
    found = []
    for sequence in sorted(path for path in (folder / "Annotations").rglob("*") if path.is_dir()):
        for labels in sorted(sequence.glob("*.png"))[::every]:
            relative = labels.relative_to(folder / "Annotations").with_suffix(".jpg")
            found.append(LabelledImage(str(relative.with_suffix("")), folder / "JPEGImages" / relative, labels))
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
    item: LabelledImage, size: int, count: int, rng: np.random.Generator, *, minimum: float = 0.002
) -> TrainingImage | None:
    """A random view of ``item`` with ``count`` targets, drawn from its objects that cover at least ``minimum`` of the view;
    None where no object does."""
    image, labels = item.read()
    image, labels, extent = _random_view(image, labels, size, rng)
    areas = np.bincount(labels.ravel(), minlength=256)[1:UNKNOWN]
    objects = np.flatnonzero(areas >= minimum * size * size) + 1
    if not len(objects):
        return None
    order = rng.permutation(objects)
    chosen = [int(order[i % len(order)]) for i in range(count)]
    grid = (size // 4, size // 4)
    targets = {k: cv2.resize((labels == k).astype(np.float32), grid, interpolation=cv2.INTER_AREA) for k in set(chosen)}
    known = cv2.resize((labels != UNKNOWN).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    return TrainingImage(_jitter(image, rng), extent, np.stack([targets[k] for k in chosen]), known)


def _random_view(
    image: UInt8Array, labels: UInt8Array, size: int, rng: np.random.Generator
) -> tuple[UInt8Array, UInt8Array, tuple[int, int]]:
    """Often a crop around an object; flipped half the time; long side to ``size``, padded right and bottom."""
    height, width = labels.shape
    x0, y0, w, h = 0.0, 0.0, float(width), float(height)
    inside = np.flatnonzero(((labels > 0) & (labels < UNKNOWN)).ravel())
    if rng.random() < 0.6 and len(inside):
        y, x = divmod(int(rng.choice(inside)), width)
        scale, aspect = rng.uniform(0.45, 1.0), np.exp(rng.uniform(-0.25, 0.25))
        w, h = min(width * scale * aspect, width), min(height * scale / aspect, height)
        x0 = float(np.clip(x - w * rng.uniform(0.2, 0.8), 0, width - w))
        y0 = float(np.clip(y - h * rng.uniform(0.2, 0.8), 0, height - h))
    factor = size / max(w, h)
    new_w, new_h = max(1, round(w * factor)), max(1, round(h * factor))
    sx, sy = new_w / w, new_h / h
    # Pixel centres: output (u + .5) = (x + .5 - x0) * s, mirrored for a flip.
    matrix = np.array([[sx, 0, (0.5 - x0) * sx - 0.5], [0, sy, (0.5 - y0) * sy - 0.5]])
    if rng.random() < 0.5:
        matrix[0] = [-matrix[0, 0], 0, new_w - 1 - matrix[0, 2]]
    view = np.zeros((size, size, 3), np.uint8)
    view_labels = np.zeros((size, size), np.uint8)
    area = (new_w, new_h)
    view[:new_h, :new_w] = cv2.warpAffine(image, matrix, area, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    view_labels[:new_h, :new_w] = cv2.warpAffine(labels, matrix, area, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return view, view_labels, (new_h, new_w)


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

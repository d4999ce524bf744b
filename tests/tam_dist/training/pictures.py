"""A tiny training cache: bright discs on dark ground, packed as the real sources are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tam_dist.training.layers import Picture
from tam_dist.training.packed import LabelledPicture, PictureGroup, pack


def disc_picture(seed: int, objects: int = 1, height: int = 96, width: int = 120, shift: float = 0.0) -> Picture:
    """Bright discs, one an object, ``shift`` pixels right of their places, on a dark ground."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (height, width, 3)).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    for k in range(1, objects + 1):
        disc = (x - shift - width * k / (objects + 1)) ** 2 + (y - height / 2) ** 2 < (height / 6) ** 2
        labels[disc] = k
        image[disc] = rng.integers(180, 256, 3)
    return Picture(image, labels)


def write_cache(root: Path) -> Path:
    """Sources "stills" (6 pictures of two things of kind "disc") and "davis" (sequences a and b, five frames, one object)."""

    def stills() -> Iterator[PictureGroup]:
        for seed in range(6):
            yield PictureGroup(f"{seed}.jpg", [LabelledPicture(disc_picture(seed, 2), ("disc", "disc"))])

    def videos() -> Iterator[PictureGroup]:
        for name in ("a", "b"):
            frames = [disc_picture(ord(name), shift=4.0 * t) for t in range(5)]
            yield PictureGroup(name, [LabelledPicture(frame, ("",)) for frame in frames])

    pack(stills(), root / "stills", short_side=320)
    pack(videos(), root / "davis", short_side=320)
    return root

"""Training pictures packed once into memory-mapped files.

Decoding JPEG and PNG files costs more than warping them; packed at the size they are used, a picture is a slice of a
mapped file, shared by all processes through the page cache.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tam_dist.errors import TamDistError
from tam_dist.training.layers import Picture


class TrainingDataError(TamDistError):
    """Training data is missing or does not fit together."""


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture and what its labels 1..K are: ``kinds[k - 1]``, "" where nobody said."""

    picture: Picture
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class PictureGroup:
    """The frames of a sequence, in order, or a still: a group of one. ``pictures`` is read once."""

    name: str
    pictures: Iterable[LabelledPicture]


class PackedPictures:
    """Pictures by number, in groups, read from two mapped files in ``folder``.

    ``names`` are the groups'; ``kinds[i]`` says what the labels 1..K of picture i are.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise TrainingDataError(f"{folder} holds no packed pictures; run python -m tam_dist.training.prepare.") from error
        self.folder = folder
        self.names: list[str] = index["names"]
        self.groups: list[tuple[int, int]] = [tuple(group) for group in index["groups"]]
        self.kinds: list[tuple[str, ...]] = [tuple(kinds) for kinds in index["kinds"]]
        self._sizes = np.array(index["sizes"], np.int64).reshape(-1, 2)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes.prod(axis=1))])
        self._images = np.memmap(folder / "images.bin", np.uint8, "r")
        self._labels = np.memmap(folder / "labels.bin", np.uint8, "r")

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: int) -> Picture:
        height, width = self._sizes[number]
        start, stop = self._starts[number], self._starts[number + 1]
        image = np.asarray(self._images[3 * start : 3 * stop]).reshape(height, width, 3)
        return Picture(image, np.asarray(self._labels[start:stop]).reshape(height, width))

    def __reduce__(self) -> tuple[type[PackedPictures], tuple[Path]]:
        return PackedPictures, (self.folder,)  # a worker maps the files itself; pickling a map would copy all of it

    def group(self, name: str) -> range:
        """The picture numbers of the group called ``name``."""
        first, count = self.groups[self.names.index(name)]
        return range(first, first + count)


def pack(groups: Iterable[PictureGroup], folder: Path, *, short_side: int) -> PackedPictures:
    """Write ``groups`` to ``folder``, pictures reduced to ``short_side`` where they are larger.

    Pictures without any object are left out of stills but kept in sequences. The folder appears at once, when all is
    written: an interrupted packing starts again. Raises :class:`TrainingDataError` where nothing is left.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    names: list[str] = []
    ranges: list[tuple[int, int]] = []
    sizes: list[tuple[int, ...]] = []
    kinds: list[Sequence[str]] = []
    with (partial / "images.bin").open("wb") as images, (partial / "labels.bin").open("wb") as labels:
        for group in groups:
            first = len(sizes)
            for item in group.pictures:
                picture = _reduced(item.picture, short_side)
                images.write(picture.image.tobytes())
                labels.write(picture.labels.tobytes())
                sizes.append(picture.labels.shape)
                kinds.append(item.kinds)
            if len(sizes) > first:
                names.append(group.name)
                ranges.append((first, len(sizes) - first))
    if not sizes:
        raise TrainingDataError(f"There is nothing to pack into {folder}: no labelled pictures were found.")
    index = {"names": names, "groups": ranges, "sizes": sizes, "kinds": kinds}
    (partial / "index.json").write_text(json.dumps(index), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return PackedPictures(folder)


def _reduced(picture: Picture, short_side: int) -> Picture:
    height, width = picture.labels.shape
    scale = short_side / min(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(picture.labels, size, interpolation=cv2.INTER_NEAREST)
    return Picture(np.asarray(image, np.uint8), np.asarray(labels, np.uint8))

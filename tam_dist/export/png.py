"""Label maps as PNGs: DAVIS and YouTube-VOS folders, KITTI MOTS, and black-and-white ones; all of them lossless."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tam_dist.errors import ExportError, StorageError
from tam_dist.export.footage import Footage, MaskFrame, safe_name
from tam_dist.export.parallel import for_each
from tam_dist.export.rle import categories, category
from tam_dist.media.colours import palette
from tam_dist.types import LabelArray, TrackedObject, UInt8Array

#: The first colours of YouTube-VOS; those after are DAVIS's.
_YOUTUBE_VOS = (
    (236, 95, 103),
    (249, 145, 87),
    (250, 200, 99),
    (153, 199, 148),
    (98, 179, 178),
    (102, 153, 204),
    (197, 148, 197),
    (171, 121, 103),
)
_MOST_CLASSES = 64  # in 16 bits, at 1000 objects each
_LEVEL = 3  # of zlib: at 6 a label map takes four times as long and is a few percent smaller


def write_davis(footage: Footage, folder: Path) -> None:
    """``Annotations/<resolution>/<video>/00000.png``, 8 bit with the DAVIS palette, a pixel's value its object's id; with
    images, ``JPEGImages`` alike; ``ImageSets/2017/val.txt`` names the video, so that the official evaluation takes the folder.
    """
    level = "480p" if footage.video.height == 480 else "Full-Resolution"
    sets = folder / "ImageSets" / "2017"
    sets.mkdir(parents=True)
    (sets / "val.txt").write_text(f"{footage.name}\n", encoding="utf-8")
    place = Path(level) / footage.name
    _write_indexed(footage, folder / "Annotations" / place, folder / "JPEGImages" / place, palette())


def write_youtube_vos(footage: Footage, folder: Path) -> None:
    """``Annotations/<video>/00005.png`` in the colours of YouTube-VOS, ``JPEGImages/<video>``, and ``meta.json``, in which an
    object's frames are all exported ones from its first appearance on.
    """
    colours = palette()
    colours[1 : len(_YOUTUBE_VOS) + 1] = _YOUTUBE_VOS
    images = folder / "JPEGImages" / footage.name
    first_seen = _write_indexed(footage, folder / "Annotations" / footage.name, images, colours)
    with (folder / "meta.json").open("w", encoding="utf-8") as file:  # piece by piece: the lists are as long as the video
        file.write(f'{{"videos": {{{json.dumps(footage.name)}: {{"objects": {{')
        for n, item in enumerate(o for o in footage.objects if o.id in first_seen):
            file.write(f'{", " if n else ""}"{item.id}": {{"category": {json.dumps(category(item.name))}, "frames": [')
            frames = (number for number in footage.numbers if number >= first_seen[item.id])
            for place, number in enumerate(frames):
                file.write(f'{", " if place else ""}"{footage.stem(number)}"')
            file.write("]}")
        file.write("}}}}\n")


def write_binary(footage: Footage, folder: Path) -> None:
    """``<id>-<object>/00000.png``, 8-bit grey, 255 on the object and 0 beside it."""
    folders = {item.id: folder / folder_name(item) for item in footage.objects}
    for path in folders.values():
        path.mkdir()

    def write(frame: MaskFrame) -> None:
        for id_, path in folders.items():
            mask = (frame.labels == id_).astype(np.uint8) * np.uint8(255)
            Image.fromarray(mask).save(path / f"{footage.stem(frame.number)}.png", compress_level=_LEVEL)

    for_each(write, footage)


def write_mots_png(footage: Footage, folder: Path) -> None:
    """KITTI MOTS: ``instances/000000.png``, 16 bit, a pixel's value 1000 times the class plus the object's id, and
    ``labels.txt`` with the classes' names.
    """
    numbers = categories(footage.objects)
    if max(numbers.values()) > _MOST_CLASSES:
        raise ExportError(
            f"The format mots-png holds {_MOST_CLASSES} classes, and the objects' names make {len(numbers)}: export mots."
        )
    of_label = np.zeros(max(256, footage.objects[-1].id + 1), np.uint16)
    for item in footage.objects:
        of_label[item.id] = numbers[category(item.name)] * 1000 + item.id
    instances = folder / "instances"
    instances.mkdir()
    names = {number: name for name, number in numbers.items()}
    lines = [names.get(number, f"class-{number}") for number in range(1, max(names) + 1)]
    (instances / "labels.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write(frame: MaskFrame) -> None:
        Image.fromarray(of_label[frame.labels]).save(instances / f"{frame.number:06d}.png", compress_level=_LEVEL)

    for_each(write, footage)


def write_jpeg(path: Path, picture: UInt8Array) -> None:
    """``picture`` uint8 (H, W, 3) RGB, in a quality at which no block shows. Raises :class:`StorageError`."""
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95]):
        raise StorageError(f"The picture {path.name} cannot be written into {path.parent}: is the disk full?")


def folder_name(item: TrackedObject) -> str:
    """The id keeps names apart that a file system takes for the same."""
    return f"{item.id}-{safe_name(item.name)}"


def _write_indexed(footage: Footage, labels: Path, images: Path, colours: UInt8Array) -> dict[int, int]:
    """Returns the first frame of each object that is seen at all, by id."""
    labels.mkdir(parents=True)
    if footage.request.images:
        images.mkdir(parents=True)
    first_seen: dict[int, int] = {}

    def write(pair: tuple[MaskFrame, UInt8Array | None]) -> None:
        frame, picture = pair
        name = footage.stem(frame.number)
        save_indexed(labels / f"{name}.png", frame.labels, colours)
        if picture is not None:
            write_jpeg(images / f"{name}.jpg", picture)

    def seen(pair: tuple[MaskFrame, UInt8Array | None]) -> tuple[MaskFrame, UInt8Array | None]:
        if len(first_seen) < len(footage.objects):
            for id_ in np.unique(pair[0].labels[pair[0].labels > 0]):
                first_seen.setdefault(int(id_), pair[0].number)
        return pair

    for_each(write, map(seen, footage.with_images()))
    return first_seen


def save_indexed(path: Path, labels: LabelArray, colours: UInt8Array) -> None:
    """An 8-bit palette PNG whose values are the labels: set by hand, as Pillow's own conversion to a palette renumbers them."""
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(colours.tobytes())
    image.save(path, format="PNG", compress_level=_LEVEL)

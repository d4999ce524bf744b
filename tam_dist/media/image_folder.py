"""A folder of images as a video, as DAVIS and YouTube-VOS ship theirs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from tam_dist.errors import VideoError
from tam_dist.media.container import SPLIT_HINT, is_animated_webp
from tam_dist.media.damage import FrameDamagedError, FrameFiller, OnDamage
from tam_dist.media.index import DEFAULT_RATE, Int64Array, VideoIndex
from tam_dist.media.pyav_reader import check_range
from tam_dist.media.source import Source
from tam_dist.types import UInt8Array, VideoInfo

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it prints beside our own sentence on the same file
_MOST_NAMED = 5  # missing numbers that a note spells out


def image_names(source: Source) -> list[str]:
    """The images of a folder in order of their names, numbers in them counted as numbers (frame2 before frame10)."""
    names = [name for name, _ in source.listing() if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
    return sorted(names, key=_natural)


def build_folder_index(source: Source) -> VideoIndex:
    """Index a folder; raises :class:`VideoError` where it has no images."""
    names = image_names(source)
    if not names:
        raise VideoError(f"The folder {source.uri} holds no images ({', '.join(s[1:] for s in IMAGE_SUFFIXES)}).")
    height, width = _decode(source, names[0]).shape[:2]
    return VideoIndex(
        pts=np.arange(len(names), dtype=np.int64),
        keyframes=np.arange(len(names), dtype=np.int64),
        time_base=1 / DEFAULT_RATE,
        fps=DEFAULT_RATE,
        width=width,
        height=height,
        codec="images",
        container="folder",
        fingerprint=source.fingerprint(),
        pixel_format="rgb24",
        note=numbering_gaps(names),
    )


def numbering_gaps(names: Sequence[str]) -> str:
    """A sentence on the numbers that are missing among image names, "" where none are or the names are not numbered.

    Numbers with an even stride (every fifth frame of a film, as YouTube-VOS ships them) lack none.

    >>> numbering_gaps(["a1.png", "a2.png", "a5.png"])
    'The images 3 to 4 are missing from the numbering; those that are there count as consecutive frames.'
    >>> numbering_gaps(["0.jpg", "5.jpg", "10.jpg"]), numbering_gaps(["cat.png", "dog.png"])
    ('', '')
    """
    found = [re.search(r"(\d+)\D*$", name.rpartition(".")[0]) for name in names]
    numbers = [int(match[1]) for match in found if match is not None]
    steps = [after - before for before, after in pairwise(numbers)]
    if len(numbers) < len(names) or len(set(steps)) < 2 or min(steps) < 1:
        return ""
    usual = min(steps)
    spans = [(a + usual, b - usual) for a, b in pairwise(numbers) if b - a > usual]
    said = [str(first) if first == last else f"{first} to {last}" for first, last in spans[:_MOST_NAMED]]
    more = f" and {len(spans) - _MOST_NAMED} more spans" if len(spans) > _MOST_NAMED else ""
    return (
        f"The images {', '.join(said)}{more} are missing from the numbering; those that are there count as consecutive frames."
    )


class ImageFolderReader:
    """Reads the images of a folder, all of one size; palettes, grey and 16-bit images become 8-bit RGB, EXIF turns are
    applied.
    """

    def __init__(self, source: Source, index: VideoIndex, on_damage: OnDamage = "stop") -> None:
        self.index = index
        self.filler = FrameFiller(on_damage, (index.frame_count, index.height, index.width, 3), self._picture)
        self._source = source
        self._names = image_names(source)
        if len(self._names) != index.frame_count:
            raise VideoError(
                f"The folder {source.uri} holds {len(self._names)} images, but {index.frame_count} when it was indexed; "
                "put it back as it was, or start a new project."
            )

    @property
    def info(self) -> VideoInfo:
        return self.index.info(self._source.uri, "images")

    @property
    def pts(self) -> Int64Array:
        return self.index.pts

    def read(self, start: int, stop: int) -> UInt8Array:
        """Images ``start`` to ``stop`` (exclusive) as uint8 (n, H, W, 3) RGB.

        Raises :class:`VideoError` naming the file where one is of another size than the first, or damaged and nothing may stand
        in for it.
        """
        check_range(self._source.uri, self.index, start, stop)
        return self.filler.read(start, stop)

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _picture(self, number: int) -> UInt8Array:
        name = self._names[number]
        picture = _decode(self._source, name)
        height, width = picture.shape[:2]
        if (height, width) != (self.index.height, self.index.width):
            raise VideoError(
                f"The image {name} in {self._source.uri} is {width}x{height}, the first one is "
                f"{self.index.width}x{self.index.height}; all images of a video must have one size."
            )
        return picture

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key: runs of digits by value, the rest as text."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]


def _decode(source: Source, name: str) -> UInt8Array:
    try:
        data = source.read_file(name)
    except OSError as error:
        raise FrameDamagedError(f"The image {name} in {source.uri} cannot be read: {error}") from error
    if is_animated_webp(data):
        raise VideoError(f"{name} in {source.uri} is an animation, not one picture; {SPLIT_HINT}.")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise FrameDamagedError(f"The image {name} in {source.uri} is damaged or not an image; replace it.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)

"""A folder of images as a video, as DAVIS and YouTube-VOS ship theirs."""

from __future__ import annotations

import re
from fractions import Fraction
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from tam_dist.errors import VideoError
from tam_dist.media.index import Int64Array, VideoIndex
from tam_dist.media.pyav_reader import check_range
from tam_dist.media.source import Source
from tam_dist.types import UInt8Array, VideoInfo

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FRAME_RATE = Fraction(24)  # DAVIS's; images carry none


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
        time_base=1 / FRAME_RATE,
        fps=FRAME_RATE,
        width=width,
        height=height,
        codec="images",
        container="folder",
        fingerprint=source.fingerprint(),
        pixel_format="rgb24",
    )


class ImageFolderReader:
    """Reads the images of a folder, all of one size; palettes, grey and 16-bit images become 8-bit RGB, EXIF turns are
    applied.
    """

    def __init__(self, source: Source, index: VideoIndex) -> None:
        self.index = index
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

        Raises :class:`VideoError` naming the file where one is damaged or of another size than the first.
        """
        check_range(self._source.uri, self.index, start, stop)
        out = np.empty((stop - start, self.index.height, self.index.width, 3), np.uint8)
        for number in range(start, stop):
            name = self._names[number]
            picture = _decode(self._source, name)
            if picture.shape != out.shape[1:]:
                raise VideoError(
                    f"The image {name} in {self._source.uri} is {picture.shape[1]}x{picture.shape[0]}, the first one is "
                    f"{self.index.width}x{self.index.height}; all images of a video must have one size."
                )
            out[number - start] = picture
        return out

    def close(self) -> None:
        """Nothing stays open between reads."""

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
        raise VideoError(f"The image {name} in {source.uri} cannot be read: {error}") from error
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise VideoError(f"The image {name} in {source.uri} is damaged or not an image; replace it.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)

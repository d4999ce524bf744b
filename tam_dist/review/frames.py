"""Frames of one video as JPEG, decoded when asked for and kept in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from tam_dist.media.drawing import Style, draw_objects
from tam_dist.media.reader import VideoReader, open_video
from tam_dist.types import LabelArray, TrackedObject, UInt8Array

#: Frames decoded together where somebody steps backwards: a film with rare keyframes would have each group decoded again and
#: again. Also how far ahead it is quicker to read on than to jump.
_BLOCK = 16
_KEPT_BYTES = 96 << 20
_QUALITY = 88
#: Of the longer side; a larger picture is scaled down, because no screen shows more of it at once.
_LARGEST = 2560
_THUMB = 320


class FrameServer:
    """Any thread may ask. Memory: one open reader and :data:`_KEPT_BYTES` of JPEGs."""

    def __init__(self, uri: str, reader: str = "auto", on_damage: str = "hold") -> None:
        self._uri, self._wanted, self._on_damage = uri, reader, on_damage
        self._reading = threading.Lock()
        self._reader: VideoReader | None = None
        self._next = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0

    def jpeg(self, frame: int) -> bytes:
        """Raises :class:`VideoError`."""
        found = self._kept.get(frame)
        if found is not None:
            return found
        with self._reading:
            if frame not in self._kept:
                start = self._start(frame)
                for number, picture in enumerate(self._open().read(start, frame + 1), start):
                    self._keep(number, _encoded(picture))
                self._next = frame + 1
            return self._kept[frame]

    def picture(self, frame: int) -> UInt8Array:
        """uint8 (H, W, 3) RGB, as decoded. Raises :class:`VideoError`."""
        with self._reading:
            self._next = frame + 1
            return np.array(self._open().read(frame, frame + 1)[0])

    def close(self) -> None:
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _start(self, frame: int) -> int:
        """The first frame to decode on the way to ``frame``: a jump to elsewhere takes that one alone."""
        if 0 <= frame - self._next < _BLOCK:
            return self._next
        backwards = 0 < self._next - frame <= 2 * _BLOCK
        return frame - frame % _BLOCK if backwards else frame

    def _open(self) -> VideoReader:
        if self._reader is None:
            self._reader = open_video(self._uri, reader=self._wanted, on_damage=self._on_damage)
        return self._reader

    def _keep(self, frame: int, data: bytes) -> None:
        if frame in self._kept:
            return
        self._kept[frame] = data
        self._size += len(data)
        while self._size > _KEPT_BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._size -= len(old)


def thumbnail(jpeg: bytes, labels: LabelArray, objects: Sequence[TrackedObject]) -> bytes:
    """A JPEG of :data:`_THUMB` pixels across; ``labels`` (H, W) drawn over the picture."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    height = max(1, round(_THUMB * picture.shape[0] / picture.shape[1]))
    small = cv2.resize(picture, (_THUMB, height), interpolation=cv2.INTER_AREA)
    few = cast(LabelArray, cv2.resize(labels, (_THUMB, height), interpolation=cv2.INTER_NEAREST))
    drawn = draw_objects(
        np.ascontiguousarray(small[:, :, ::-1], np.uint8), few, objects, Style(tint=0.45, contour=1, names=False)
    )
    return _encoded(drawn)


def _encoded(picture: UInt8Array) -> bytes:
    height, width = picture.shape[:2]
    scale = _LARGEST / max(height, width)
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    done, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.tobytes()

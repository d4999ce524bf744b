"""The exact reader: seeks with PyAV, and checks the presentation time of every frame it hands out against the index.

Seeking with FFmpeg alone is not exact: it lands where the container's own index says, which is late in open groups of
pictures, off in transport streams and wrong under edit lists, without an error in any of these cases.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from av.video.frame import VideoFrame

from tam_dist.errors import VideoError
from tam_dist.media.container import VideoContainer, to_rgb
from tam_dist.media.damage import FrameDamagedError, FrameFiller, OnDamage
from tam_dist.media.index import Int64Array, VideoIndex
from tam_dist.media.source import Source
from tam_dist.types import UInt8Array, VideoInfo

log = logging.getLogger(__name__)


class PyAVReader:
    """Reads any video FFmpeg can decode. Consecutive reads continue decoding; others go to the nearest keyframe before."""

    def __init__(self, source: Source, index: VideoIndex, on_damage: OnDamage = "stop") -> None:
        self.index = index
        self.filler = FrameFiller(on_damage, (index.frame_count, index.height, index.width, 3), self._picture)
        self._source = source
        self._video: VideoContainer | None = None
        self._frames: Iterator[tuple[int, VideoFrame]] = iter(())
        self._next = -1  # the frame that comes next; -1: nothing is open
        self._ahead: tuple[int, VideoFrame] | None = None  # it, where it has been decoded already
        self._seen = -1  # the last frame that came since decoding was started anew
        self._missing = range(0)  # frames that are known not to come

    @property
    def info(self) -> VideoInfo:
        return self.index.info(self._source.uri, "pyav")

    @property
    def pts(self) -> Int64Array:
        return self.index.pts

    def read(self, start: int, stop: int) -> UInt8Array:
        """Frames ``start`` to ``stop`` (exclusive) as uint8 (n, H, W, 3) RGB.

        Raises :class:`VideoError` naming the frame where one is of another size, or damaged and nothing may stand in for it.
        """
        check_range(self._source.uri, self.index, start, stop)
        return self.filler.read(start, stop)

    def close(self) -> None:
        if self._video is not None:
            self._video.close()
        self._video, self._frames, self._next, self._ahead = None, iter(()), -1, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _picture(self, number: int) -> UInt8Array:
        picture = to_rgb(self._frame(number), self.index.orientation)
        height, width = picture.shape[:2]
        if (height, width) != (self.index.height, self.index.width):
            raise VideoError(
                f"Frame {number} of {self._source.uri} is {width}x{height}, the first ones are "
                f"{self.index.width}x{self.index.height}; convert the video to one size."
            )
        return picture

    def _frame(self, number: int) -> VideoFrame:
        if number in self._missing:
            raise self._damaged(number)
        frame = self._advance(number)[0] if self._on_the_way(number) else None
        if frame is None:
            frame = self._find(number)
        if frame.is_corrupt:
            log.warning("frame %d of %s is damaged; the decoder made up a part of it", number, self._source.uri)
        return frame

    def _on_the_way(self, number: int) -> bool:
        """Whether decoding on is no more work than starting from a keyframe."""
        if not 0 <= self._next <= number:
            return False
        return not self.index.seekable or self._keyframe_before(number) <= self._keyframe_before(self._next)

    def _keyframe_before(self, number: int) -> int:
        """Position in ``index.keyframes`` of the last one at or before a frame; -1 if there is none."""
        return int(np.searchsorted(self.index.keyframes, self.index.pts[number], side="right")) - 1

    def _find(self, number: int) -> VideoFrame:
        """Decode from the keyframe before ``number``, from the one before that, and last from the start of the file.

        A seek may land too late (loose containers), and the first frames after a recovery point may be incomplete.
        """
        best = self._keyframe_before(number)
        entries: list[int | None] = [int(self.index.keyframes[k]) for k in (best, best - 1) if k >= 0]
        if not self.index.seekable:
            entries = []
        entries.append(None)
        damaged: VideoFrame | None = None
        for entry in entries:
            if not self._start_at(entry):
                continue
            frame, landed_before = self._advance(number)
            if frame is not None and (not frame.is_corrupt or entry is None or damaged is not None):
                return frame
            damaged = frame
            if frame is None and landed_before:
                break  # the frames before it came out, it did not
        raise self._damaged(number)

    def _damaged(self, number: int) -> FrameDamagedError:
        return FrameDamagedError(
            f"Frame {number} of {self._source.uri} is damaged and cannot be decoded; repair the video by converting it."
        )

    def _start_at(self, entry: int | None) -> bool:
        """Make ``_frames`` begin at the keyframe at ``entry``, or at the start of the file; False where it cannot seek."""
        if self._video is None or entry is None:
            self.close()
            self._video = VideoContainer(self._source)
        if entry is not None and not self._video.seek(entry):
            return False
        self._frames, self._ahead, self._seen = self._numbered(self._video, from_start=entry is None), None, -1
        return True

    def _numbered(self, video: VideoContainer, *, from_start: bool) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded frames with their numbers; those that the index does not know (before the first, damaged end) are dropped."""
        if not self.index.seekable:
            assert from_start
            yield from video.counted_frames()
            return
        for frame in video.frames():
            if frame.pts is not None:
                number = int(np.searchsorted(self.index.pts, frame.pts))
                if number < self.index.frame_count and self.index.pts[number] == frame.pts:
                    yield number, frame

    def _advance(self, number: int) -> tuple[VideoFrame | None, bool]:
        """Decode on until frame ``number``: it, or None where it does not come, and whether an earlier one came first."""
        while (item := self._ahead or next(self._frames, None)) is not None:
            self._ahead = None
            at, frame = item
            if at > number:
                self._next, self._ahead = at, item
                if 0 <= self._seen < number:
                    self._missing = range(self._seen + 1, at)
                break
            self._next, self._seen = at + 1, at
            if at == number:
                return frame, True
        else:
            self._next = -1
        return None, 0 <= self._seen < number


def check_range(uri: str, index: VideoIndex, start: int, stop: int) -> None:
    """Raise :class:`VideoError` unless ``start`` to ``stop`` lie in the video."""
    if not 0 <= start <= stop <= index.frame_count:
        raise VideoError(f"Frames {start} to {stop} were asked of {uri}, which has frames 0 to {index.frame_count}.")

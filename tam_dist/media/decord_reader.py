"""The decord reader, for the videos on which decord is exact.

decord gives wrong frames, silently, on edit lists, open groups of pictures, intra refresh, AVI and transport streams, and it
decodes ahead without limit while nobody reads: 2.6 GB in six idle seconds of a 720p video. A ``seek(0)`` after each read
stops that, at the price of decoding again from the keyframe at the next read: twice PyAV's time per frame with a keyframe
every 10 frames, five times with one every 250 (tests/benchmarks/decode.py). Videos with rare keyframes are left to PyAV too.
"""

from __future__ import annotations

import importlib.util
import logging
from types import TracebackType
from typing import Any, Self

import numpy as np

from tam_dist.errors import VideoError
from tam_dist.media.damage import FrameFiller, OnDamage
from tam_dist.media.index import Int64Array, VideoIndex
from tam_dist.media.pyav_reader import PyAVReader, check_range
from tam_dist.media.source import Source
from tam_dist.types import UInt8Array, VideoInfo

log = logging.getLogger(__name__)

_CODECS = frozenset({"h264", "vp9", "libvpx-vp9"})
_CONTAINERS = ("mp4", "matroska", "webm")
_PIXEL_FORMATS = frozenset({"yuv420p"})
_LONGEST_CHEAP_GOP = 32  # frames: two chunks of the default size
_NO_FAULTS = 1e-9


def why_not_exact(source: Source, index: VideoIndex) -> str | None:
    """Why decord may not read this video, as the end of a sentence; None where it is exact.

    >>> from fractions import Fraction
    >>> from tam_dist.media.source import resolve
    >>> index = VideoIndex(np.arange(3), np.arange(1), Fraction(1, 25), Fraction(25), 64, 48, "hevc", "mov,mp4", "", "yuv420p")
    >>> why_not_exact(resolve("."), index)
    'its codec is hevc'
    """
    reasons = {
        "it is not a local file": not source.is_local,
        f"its codec is {index.codec}": index.codec not in _CODECS,
        f"its container is {index.container}": not any(name in index.container for name in _CONTAINERS),
        f"its pixel format is {index.pixel_format}": index.pixel_format not in _PIXEL_FORMATS,
        "its width or height is odd": index.width % 2 == 1 or index.height % 2 == 1,  # other colours than FFmpeg's
        "it has an edit list": index.edit_list,
        "frames after a keyframe refer to frames before it": not index.clean_keyframes,
        "it is interlaced": index.interlaced,
        "it must be turned": not index.orientation.is_upright,
        "it was cut off": index.declared_frames is not None,
        "its times cannot be trusted": not index.seekable,
        "decord is not installed on this machine": importlib.util.find_spec("decord") is None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def is_cheap(index: VideoIndex) -> bool:
    """Whether keyframes are close enough for decord, which starts again at one with every read."""
    return index.longest_gop <= _LONGEST_CHEAP_GOP


class DecordReader:
    """Reads with decord. Raises :class:`VideoError` on opening where decord would not be exact on this video."""

    def __init__(self, source: Source, index: VideoIndex, on_damage: OnDamage = "stop") -> None:
        self.index = index
        self._source = source
        self._on_damage = on_damage
        self._substitute: PyAVReader | None = None
        reason = why_not_exact(source, index)
        if reason is None:
            self._video: Any = self._open(source)
            reason = self._disagreement()
        if reason is not None:
            raise VideoError(f"decord cannot read {source.uri} exactly, because {reason}; use media.reader=auto.")

    @staticmethod
    def _open(source: Source) -> Any:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        try:
            # With its default, decord hands out copies of the neighbouring frame for those it could not decode.
            return decord.VideoReader(source.path, num_threads=1, fault_tol=_NO_FAULTS)
        except (decord.DECORDError, RuntimeError) as error:
            raise VideoError(f"decord cannot open {source.uri}; use media.reader=auto.") from error

    def _disagreement(self) -> str | None:
        """How decord's own index differs from ours, if it does."""
        count = len(self._video)
        if count != self.index.frame_count:
            return f"it sees {count} frames where there are {self.index.frame_count}"
        seconds = np.asarray(self._video.get_frame_timestamp(np.arange(count)))[:, 0]
        ours = (self.index.pts - self.index.pts[0]) * float(self.index.time_base)
        shortest = float(np.diff(ours).min()) if count > 1 else 1.0
        if np.abs(seconds - seconds[0] - ours).max() > shortest / 2 + 1e-4 * ours[-1] / max(count, 1):
            return "it sees the frames at other times"
        return None

    @property
    def info(self) -> VideoInfo:
        return self.index.info(self._source.uri, "decord")

    @property
    def pts(self) -> Int64Array:
        return self.index.pts

    @property
    def filler(self) -> FrameFiller | None:
        return None if self._substitute is None else self._substitute.filler

    def read(self, start: int, stop: int) -> UInt8Array:
        """Frames ``start`` to ``stop`` (exclusive) as uint8 (n, H, W, 3) RGB.

        Raises :class:`VideoError` as :class:`PyAVReader` does: where decord stumbles, PyAV reads on from there, and
        either gives the frames that decord could not, or knows which one is at fault.
        """
        import decord

        check_range(self._source.uri, self.index, start, stop)
        if start == stop:
            return np.empty((0, self.index.height, self.index.width, 3), np.uint8)
        if self._substitute is None:
            try:
                frames: UInt8Array = self._video.get_batch(range(start, stop)).asnumpy()
                self._video.seek(0)
                return frames
            except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError) as error:
                log.warning("decord fails at frames %d to %d of %s; PyAV reads on", start, stop - 1, self._source.uri)
                log.debug("%s", error)
                self._substitute = PyAVReader(self._source, self.index, self._on_damage)
        return self._substitute.read(start, stop)

    def close(self) -> None:
        self._video = None
        if self._substitute is not None:
            self._substitute.close()
            self._substitute = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

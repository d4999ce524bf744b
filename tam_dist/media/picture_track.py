"""The picture track of a video that is written: the source's frame times, whatever codec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from tam_dist.media.index import VideoIndex
from tam_dist.types import UInt8Array

_BT709 = 1
_LIMITED_RANGE = 1


@dataclass(frozen=True)
class Coding:
    """How pictures are compressed. ``array_format`` is what :meth:`PictureTrack.write` takes, "rgb24" or "rgba"."""

    codec: str
    pixel_format: str
    array_format: str = "rgb24"
    options: dict[str, str] = field(default_factory=dict)


#: Plays everywhere.
H264 = Coding("libx264", "yuv420p", options={"crf": "19", "preset": "veryfast"})


class PictureTrack:
    """Frames ``numbers`` of a source, all of them where None, at its own times; its first one is at 0 where they are chosen.

    Odd sizes are padded by a pixel, never scaled.
    """

    def __init__(
        self, out: OutputContainer, index: VideoIndex, fps: Fraction, coding: Coding, numbers: Sequence[int] | None = None
    ) -> None:
        self._out, self._coding = out, coding
        self._time_base = index.time_base
        pts = index.pts if numbers is None else index.pts[np.asarray(numbers)]
        self._times = pts - (round(index.start / index.time_base) if numbers is None else int(pts[0]))
        self._written = 0
        self._step = max(1, round(1 / (fps * index.time_base)))
        self._padding = ((0, index.height % 2), (0, index.width % 2), (0, 0))
        # A keyframe every two seconds lets players jump; the rest the encoder decides by quality.
        options = coding.options | {"g": str(max(1, round(2 * fps)))}
        self._stream = stream = cast(VideoStream, out.add_stream(coding.codec, rate=fps, options=options))
        stream.width, stream.height = index.width + index.width % 2, index.height + index.height % 2
        stream.pix_fmt = coding.pixel_format
        stream.time_base = stream.codec_context.time_base = index.time_base
        stream.codec_context.sample_aspect_ratio = index.sample_aspect
        stream.colorspace = stream.color_primaries = stream.color_trc = _BT709
        stream.color_range = _LIMITED_RANGE

    def write(self, picture: UInt8Array) -> float:
        """Write the next frame, uint8 (H, W, 3 or 4); returns the second at which it ends."""
        number = self._written
        last = number + 1 == len(self._times)
        time = int(self._times[number])
        duration = self._step if last else int(self._times[number + 1]) - time
        padded = np.ascontiguousarray(np.pad(picture, self._padding, mode="edge"))
        # In one thread: at widths that are no multiple of 16, FFmpeg's threads write over each other's rows (measured: eight
        # wrong pixels of alpha in 37 of 960 frames).
        frame = av.VideoFrame.from_ndarray(padded, format=self._coding.array_format).reformat(
            format=self._coding.pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG", threads=1
        )
        frame.pts, frame.time_base, frame.duration = time, self._time_base, duration
        self._out.mux(self._stream.encode(frame))
        self._written += 1
        return float((time + duration) * self._time_base)

    def finish(self) -> None:
        self._out.mux(self._stream.encode(None))

"""A video file opened with PyAV: its packets, its decoded frames, and one clear sentence where it cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import IO, Any, Self, cast

import av
import av.error
import numpy as np
from av.buffer import Buffer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tam_dist.errors import VideoError
from tam_dist.media.orientation import Orientation
from tam_dist.media.source import Source
from tam_dist.types import UInt8Array

log = logging.getLogger(__name__)

# With more than one thread, what FFmpeg makes up for a damaged frame, and whether it says so, differs from run to run.
# More decoders are the way to more frames a second.
_DECODER_THREADS = 1
SPLIT_HINT = "save its frames as images of their own, or convert it to a video"
av.logging.set_libav_level(av.logging.PANIC)  # libav prints what it dislikes; we say what it means for the reader
# FFmpeg takes a .txt file for ANSI art and renders it as a "video".
_TEXT_CODECS = frozenset({"ansi", "xbin", "idf", "bintext"})


class VideoContainer:
    """The first real video stream of a file, open for reading. ``stream`` is PyAV's."""

    def __init__(self, source: Source) -> None:
        self.uri = source.uri
        self._file: IO[bytes] | None = None
        self._sent = 0  # packets given to the decoder
        self._lost: set[int] = set()  # numbers of those that could not be decoded
        self._lost_spans: list[_LostSpan] = []
        try:
            target = source.open()
            self._file = None if isinstance(target, str) else target
            self.container = av.open(target, mode="r", metadata_errors="ignore")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._close_file()
            raise VideoError(_why_not_opened(source, error)) from error
        try:
            if self.container.format.name == "webp_pipe" and is_animated_webp(source.head(21)):
                raise VideoError(f"{self.uri} is an animated WebP, which cannot be read as a video; {SPLIT_HINT}.")
            self.stream = self._video_stream()
        except VideoError:
            self.close()
            raise
        self.stream.thread_count = _DECODER_THREADS

    def _video_stream(self) -> VideoStream:
        covers = av.stream.Disposition.attached_pic
        for stream in self.container.streams.video:
            if stream.disposition & covers:
                continue  # the cover picture of a piece of music
            if stream.codec_context is None:
                raise VideoError(f"{self.uri} has a video codec this machine cannot decode; convert it to H.264.")
            if stream.codec_context.name in _TEXT_CODECS:
                raise VideoError(f"{self.uri} is a text file, not a video.")
            return stream
        if self.container.streams.audio:
            raise VideoError(f"{self.uri} has sound but no picture; a video is needed.")
        raise VideoError(f"{self.uri} is not a video that can be read: it has no video stream.")

    def packets(self) -> Iterator[Packet[Any]]:
        """All packets of all streams in the file's order; a damaged end ends the iteration.

        Empty packets are left out: to a decoder an empty packet means the end of the stream.
        """
        try:
            for packet in self.container.demux():
                if packet.size:
                    yield packet
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            log.debug("%s: demuxing ended early: %s", self.uri, error)
        except OSError as error:
            raise VideoError(f"{self.uri} cannot be read: {error}") from error

    def frames(self) -> Iterator[VideoFrame]:
        """Decoded frames from the current position, in presentation order.

        A packet that cannot be decoded is passed over: callers notice the missing frame by its number. So are the frames behind
        a keyframe that cannot be decoded, up to the next one: what a decoder makes of them depends on where it started.
        """
        for packet in chain(self._own_packets(), [None]):
            for frame in self._decode(packet):
                if frame.pts is None or not any(span.covers_time(frame.pts) for span in self._lost_spans):
                    yield frame

    def counted_frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """:meth:`frames` of a file whose times cannot be trusted, with their numbers: each packet counts as one frame.

        The numbers of packets that cannot be decoded are left out (with B-frames that of a neighbour may be meant).
        """
        number = 0
        for packet in chain(self._own_packets(), [None]):
            for frame in self._decode(packet):
                while number in self._lost:
                    number += 1
                if not any(span.covers_number(number) for span in self._lost_spans):
                    yield number, frame
                number += 1

    def _own_packets(self) -> Iterator[Packet[Any]]:
        return (packet for packet in self.packets() if packet.stream_index == self.stream.index)

    def _decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        number, self._sent = self._sent, self._sent + 1
        is_key = packet is not None and packet.is_keyframe
        if is_key and self._lost_spans:
            self._lost_spans[-1].end(number, packet.pts if packet is not None else None)
        try:
            return self.stream.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError, av.error.PatchWelcomeError) as error:
            log.debug("%s: a packet cannot be decoded: %s", self.uri, error)
            self._lost.add(number)
            if is_key and packet is not None:
                self._lost_spans.append(_LostSpan(number, packet.pts))
            return []

    def seek(self, pts: int) -> bool:
        """Go to the last keyframe at or before ``pts`` as the container knows it; False where it cannot seek there."""
        try:
            self.container.seek(pts, stream=self.stream, backward=True)
        except (av.error.FFmpegError, OSError):
            return False
        return True

    def close(self) -> None:
        self.container.close()
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass
class _LostSpan:
    """From a keyframe that could not be decoded to the next one, by number and by time (None: not known)."""

    first: int
    start: int | None
    stop: int | None = None
    until: int | None = None

    def end(self, number: int, pts: int | None) -> None:
        if self.stop is None:
            self.stop, self.until = number, pts

    def covers_number(self, number: int) -> bool:
        return number >= self.first and (self.stop is None or number < self.stop)

    def covers_time(self, pts: int) -> bool:
        return self.start is not None and pts >= self.start and (self.until is None or pts < self.until)


def orientation_of(frame: VideoFrame) -> Orientation:
    """How ``frame`` wants to be turned, from its display matrix."""
    matrix = cast(Buffer | None, frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return Orientation()
    return Orientation.from_matrix([int(v) for v in np.frombuffer(memoryview(matrix), dtype=np.int32)])


def to_rgb(frame: VideoFrame, orientation: Orientation) -> UInt8Array:
    """uint8 (H, W, 3) RGB, turned upright."""
    return orientation.apply(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))


def is_animated_webp(head: bytes) -> bool:
    """Whether a file that starts so is a WebP of several pictures (the flags of its extended header say so)."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and head[20] & 2 > 0


def _why_not_opened(source: Source, error: Exception) -> str:
    try:
        head = source.head(12)
    except OSError:
        return f"{source.uri} cannot be read: {error}"
    if head[4:8] == b"ftyp":
        return f"{source.uri} has no index (moov): its recording or download was cut off; get the whole file."
    if isinstance(error, av.error.DecoderNotFoundError):
        return f"{source.uri} has a codec this machine cannot decode; convert it to H.264."
    return f"{source.uri} is not a video that can be read."

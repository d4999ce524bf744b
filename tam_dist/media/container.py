"""A video file opened with PyAV: its packets, its decoded frames, and one clear sentence where it cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
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
# FFmpeg takes a .txt file for ANSI art and renders it as a "video".
_TEXT_CODECS = frozenset({"ansi", "xbin", "idf", "bintext"})


class VideoContainer:
    """The first real video stream of a file, open for reading. ``stream`` is PyAV's."""

    def __init__(self, source: Source) -> None:
        self.uri = source.uri
        self._file: IO[bytes] | None = None
        try:
            target = source.open()
            self._file = None if isinstance(target, str) else target
            self.container = av.open(target, mode="r", metadata_errors="ignore")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._close_file()
            raise VideoError(_why_not_opened(source, error)) from error
        try:
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

        A packet that cannot be decoded is passed over: callers notice the missing frame by its number.
        """
        for packet in self.packets():
            if packet.stream_index == self.stream.index:
                yield from self._decode(packet)
        yield from self._decode(None)

    def _decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        try:
            return self.stream.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError, av.error.PatchWelcomeError) as error:
            log.debug("%s: a packet cannot be decoded: %s", self.uri, error)
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


def orientation_of(frame: VideoFrame) -> Orientation:
    """How ``frame`` wants to be turned, from its display matrix."""
    matrix = cast(Buffer | None, frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return Orientation()
    return Orientation.from_matrix([int(v) for v in np.frombuffer(memoryview(matrix), dtype=np.int32)])


def to_rgb(frame: VideoFrame, orientation: Orientation) -> UInt8Array:
    """uint8 (H, W, 3) RGB, turned upright."""
    return orientation.apply(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))


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

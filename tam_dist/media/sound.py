"""A video's sound, carried over into another file alongside its pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av.error
from av.container import OutputContainer
from av.packet import Packet

from tam_dist.media.container import VideoContainer
from tam_dist.media.source import Source

_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})  # what MP4, MOV and Matroska all take
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


class SoundTrack:
    """The first sound track of ``source``, written to ``out`` piece by piece, so that neither file has to be held in memory.

    It is copied where the container takes it, else encoded as AAC. ``start`` seconds of the source become 0 in ``out``; with
    ``cut``, what is before is left out. To be made before anything is written to ``out``.
    """

    def __init__(self, source: Source, out: OutputContainer, start: Fraction, *, cut: bool = False) -> None:
        self._video = VideoContainer(source)
        self._out = out
        self._start = start
        self._cut = cut
        self._input = self._video.container.streams.audio[0]
        self._pending: Packet[Any] | None = None
        codec = self._input.codec_context
        self._output: Any
        if codec.name in _COPIED:
            self._output = out.add_stream_from_template(self._input)
            self._packets = self._copied()
        else:
            # By number: many files do not say which channel is which, and the encoder refuses an unnamed layout.
            layout = _LAYOUTS.get(codec.layout.nb_channels, "stereo")
            self._output = out.add_stream("aac", rate=codec.sample_rate, layout=layout)
            self._packets = self._encoded()

    def write_until(self, seconds: float) -> None:
        """Write the sound up to this time of ``out``."""
        while (packet := self._pending or next(self._packets, None)) is not None:
            if packet.dts is not None and packet.dts * (packet.time_base or 0) > seconds:
                self._pending = packet
                return
            self._pending = None
            self._out.mux(packet)

    def _own_packets(self) -> Iterator[Packet[Any]]:
        return (packet for packet in self._video.packets() if packet.stream_index == self._input.index)

    def _copied(self) -> Iterator[Packet[Any]]:
        for packet in self._own_packets():
            if packet.dts is None or packet.time_base is None:
                continue
            offset = round(self._start / packet.time_base)
            packet.dts -= offset
            packet.pts = packet.dts if packet.pts is None else packet.pts - offset
            if self._cut and packet.pts < 0:
                continue
            packet.stream = self._output
            yield packet

    def _encoded(self) -> Iterator[Packet[Any]]:
        for packet in self._own_packets():
            frames: Iterable[Any] = ()
            with contextlib.suppress(av.error.InvalidDataError):  # a damaged packet leaves a gap in the sound
                frames = packet.decode()
            for frame in frames:
                frame.pts -= round(self._start / frame.time_base)
                if self._cut and frame.pts < 0:
                    continue
                yield from self._output.encode(frame)
        yield from self._output.encode(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._video.close()

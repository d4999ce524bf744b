"""Small video files made on the fly, one of each awkward kind, with the frame's number drawn into the picture as a bar code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

WIDTH, HEIGHT, FRAMES, RATE = 160, 96, 90, 25
BITS = 8
_CELL = 16


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """uint8 (H, W, 3): moving stripes; a row of black or white cells tells the number, the row below its complement."""
    x, y = np.arange(width), np.arange(height)[:, None]
    grey = ((x + 3 * number) % 64 + y % 32 + 60).astype(np.uint8)
    frame = np.stack([grey, np.roll(grey, number, 1), 255 - grey], axis=2)
    for bit in range(BITS):
        white = number >> bit & 1
        cell = slice(bit * _CELL, (bit + 1) * _CELL)
        frame[:_CELL, cell] = 235 * white + 10
        frame[_CELL : 2 * _CELL, cell] = 235 * (1 - white) + 10
    return frame


def read_number(frame: np.ndarray) -> int:
    """The number drawn by :func:`picture`; fails where the two rows do not agree."""
    number = 0
    for bit in range(BITS):
        cell = slice(bit * _CELL + 4, (bit + 1) * _CELL - 4)
        above, below = float(frame[4 : _CELL - 4, cell].mean()), float(frame[_CELL + 4 : 2 * _CELL - 4, cell].mean())
        assert abs(above - below) > 100, f"bit {bit} is unreadable: {above:.0f}, {below:.0f}"
        number |= (above > below) << bit
    return number


def numbers(frames: np.ndarray) -> list[int]:
    return [read_number(frame) for frame in frames]


@dataclass(frozen=True)
class Clip:
    """How to encode one clip; ``times`` are frame times in 1/RATE seconds (None: every frame one)."""

    name: str
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (WIDTH, HEIGHT)
    times: Sequence[float] | None = None
    audio_seconds: float = 0.0
    audio_codec: str = "aac"
    frames: int = FRAMES


X264 = {"preset": "ultrafast", "g": "24", "bf": "0", "threads": "1"}
B3 = {"preset": "veryfast", "g": "24", "bf": "3", "b-pyramid": "strict", "sc_threshold": "0", "threads": "1"}
X265 = "keyint=24:min-keyint=24:bframes=3:scenecut=0:log-level=none:pools=1:frame-threads=1"
_VFR = np.cumsum([0.0] + [(1, 1, 2, 1, 3.5, 0.5)[i % 6] for i in range(FRAMES - 1)])

CLIPS = [
    Clip("plain.mp4", options=X264),
    Clip("b_frames.mp4", options=B3),
    Clip("open_gop.mp4", options=B3 | {"x264-params": "open-gop=1"}),
    Clip("fragmented.mp4", options=B3, container={"movflags": "frag_keyframe+empty_moov"}),
    Clip("faststart.mp4", options=B3, container={"movflags": "faststart"}),
    Clip("ten_bit.mp4", options=B3, pixel_format="yuv420p10le"),
    Clip("odd_444.mp4", options=B3, pixel_format="yuv444p", size=(161, 97)),
    Clip("audio_longer.mp4", options=B3, audio_seconds=5.0),
    Clip("delayed.mp4", options=B3, times=[12 + i for i in range(FRAMES)], audio_seconds=4.0),
    Clip("b_frames.mkv", options=B3),
    Clip("audio_longer.mkv", options=B3, audio_seconds=5.0),
    Clip("pcm.mkv", options=X264, audio_seconds=3.6, audio_codec="pcm_s16le"),
    Clip("vfr.mp4", options=B3, times=_VFR),
    Clip("vfr.mkv", options=B3, times=_VFR),
    Clip("intra_refresh.mp4", options=B3 | {"bf": "0", "x264-params": "intra-refresh=1"}),
    Clip("interlaced.mp4", options=B3 | {"flags": "+ildct+ilme", "x264-params": "tff=1"}),
    Clip("hevc.mp4", codec="libx265", options={"preset": "ultrafast", "x265-params": X265}),
    Clip("hevc_open.mkv", codec="libx265", options={"preset": "ultrafast", "x265-params": X265 + ":open-gop=1"}),
    Clip("hevc_ten.mp4", codec="libx265", options={"preset": "ultrafast", "x265-params": X265}, pixel_format="yuv420p10le"),
    Clip("b_frames.avi", options=B3),
    Clip("mpeg4.avi", codec="mpeg4", options={"g": "24", "bf": "2", "q": "3"}),
    Clip("b_frames.ts", options=B3, audio_seconds=3.6),
    Clip("mpeg2.ts", codec="mpeg2video", options={"g": "24", "bf": "2", "qmin": "2", "qmax": "4"}),
    Clip("vp9.webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "24"}),
    Clip("vp9_odd.webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "24"}, size=(161, 97)),
    Clip("vp8_hidden.webm", codec="libvpx", options={"cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16", "g": "24"}),
    Clip("av1.mp4", codec="libsvtav1", options={"preset": "12", "g": "24", "svtav1-params": "lp=1"}, frames=48),
    Clip("ffv1.mkv", codec="ffv1"),
    Clip("mjpeg.avi", codec="mjpeg", pixel_format="yuvj420p", options={"q": "3"}),
    Clip("gop_10.mp4", options=B3 | {"g": "10"}),
]


def encode(path: Path, clip: Clip) -> Path:
    """Write ``clip`` to ``path``."""
    with av.open(str(path), "w", options=clip.container) as out:
        stream = out.add_stream(clip.codec, rate=RATE, options=clip.options)
        stream.width, stream.height = clip.size
        stream.pix_fmt = clip.pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, RATE if clip.times is None else 1000)
        audio = out.add_stream(clip.audio_codec, rate=16000, layout="mono") if clip.audio_seconds else None
        for number in range(clip.frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *clip.size), format="rgb24")
            time = number if clip.times is None else clip.times[number]
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / RATE / frame.time_base)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            for start in range(0, int(clip.audio_seconds * 16000), 1024):
                tone = (np.sin(np.arange(start, start + 1024) * 0.17) * 8000).astype(np.float32)[None] / 32768
                sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                sound.rate, sound.pts, sound.time_base = 16000, start, Fraction(1, 16000)
                out.mux(audio.encode(sound))
            out.mux(audio.encode(None))
    return path


def remux(source: Path, target: Path, *, rotate: int = 0, first: int = 0) -> Path:
    """Copy the pictures' packets as they are, so that the same pictures come out: encoding twice need not give one stream.

    ``rotate`` degrees counterclockwise; from the keyframe before ``first`` on, with an edit list that hides what is before it.
    """
    with av.open(str(source)) as video, av.open(str(target), "w") as out:
        stream = video.streams.video[0]
        copy = out.add_stream_from_template(stream)
        if rotate:
            copy.set_display_rotation(rotate)
        offset = round(Fraction(first, RATE) / stream.time_base)
        video.seek(offset, stream=stream)
        for packet in video.demux(stream):
            if packet.size:
                packet.pts -= offset
                packet.dts -= offset
                packet.stream = copy
                out.mux(packet)
    return target


@dataclass(frozen=True)
class Stored:
    """A packet in a file, in the order of decoding; ``shown`` is the number of the frame that it holds."""

    at: int
    size: int
    shown: int


def stored_packets(path: Path) -> list[Stored]:
    """The video packets of a file, whose times are trusted; in AVI, which has none, ``shown`` is the order of decoding."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    order = {pts: number for number, pts in enumerate(sorted(p.pts for p in packets))}
    return [Stored(p.pos, p.size, order[p.pts]) for p in packets]


def cut_in_packet(source: Path, target: Path, number: int, share: float) -> Path:
    """The file up to ``share`` of its packet ``number``: where a cut falls is chosen by what is lost, not by bytes."""
    packet = stored_packets(source)[number]
    target.write_bytes(source.read_bytes()[: packet.at + int(packet.size * share)])
    return target


def damaged(source: Path, target: Path, numbers: Sequence[int]) -> Path:
    """The file with the bytes of some of its packets replaced by noise."""
    data = bytearray(source.read_bytes())
    packets = stored_packets(source)
    for number in numbers:
        packet = packets[number]
        data[packet.at : packet.at + packet.size] = np.random.default_rng(number).bytes(packet.size)
    target.write_bytes(data)
    return target


def truncated(source: Path, target: Path, share: float) -> Path:
    """For files that say so themselves wherever the cut falls."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a clip of ``CLIPS`` by name, encoded at its first use; ``rotated.mp4`` is ``b_frames.mp4`` with a matrix."""
    folder = tmp_path_factory.mktemp("clips")
    known = {clip.name: clip for clip in CLIPS}

    def get(name: str) -> Path:
        path = folder / name
        if name == "rotated.mp4" and not path.exists():
            return remux(get("b_frames.mp4"), path, rotate=90)
        return path if path.exists() else encode(path, known[name])

    return get

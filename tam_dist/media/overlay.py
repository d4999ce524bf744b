"""The source video with its masks drawn in: same frame times, same sound, one file that plays everywhere."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import OutputContainer

from tam_dist.errors import StorageError, VideoError
from tam_dist.media.drawing import Style, draw_objects
from tam_dist.media.reader import VideoReader
from tam_dist.media.sound import SoundTrack
from tam_dist.media.source import Source, resolve
from tam_dist.types import LabelArray, TrackedObject, UInt8Array

LabelSource = Callable[[int], LabelArray | None]
"""The label map (H, W) of a frame number, or None where the frame has not been tracked."""

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_MARK = "overlay by tam-dist"
_READ_AT_ONCE = 16
_BT709 = 1
_LIMITED_RANGE = 1


def write_overlay(
    reader: VideoReader,
    masks: LabelSource,
    objects: Sequence[TrackedObject],
    out_path: str | os.PathLike[str],
    *,
    style: Style | None = None,
    sound: bool = True,
    overwrite: bool = False,
    on_frame: Callable[[int], None] | None = None,
) -> Path:
    """Write ``reader``'s video with ``masks`` drawn in, as H.264 (4:2:0) in MP4, MOV or Matroska by ``out_path``'s suffix.

    Frames keep their times, also uneven ones. Odd sizes are padded by a pixel, never scaled. Sound is copied where the
    container takes it, else becomes AAC. The file appears under its name when it is whole. ``on_frame`` is told each frame
    written. Memory does not grow with length. Returns the path.

    Raises :class:`VideoError` where the suffix is another, the file is the source itself, or it exists and is not an older
    overlay (unless ``overwrite``), and :class:`StorageError` where it cannot be written.
    """
    target = Path(out_path)
    source = resolve(reader.info.uri)
    check_overlay(target, source, overwrite=overwrite)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            av.open(str(partial), "w", format=_FORMATS[target.suffix.lower()], options={"movflags": "+faststart"}) as out,
            contextlib.ExitStack() as stack,
        ):
            out.metadata["comment"] = _MARK
            pictures = _Pictures(reader, out)
            track = None
            if sound and reader.info.has_audio:
                track = stack.enter_context(SoundTrack(source, out, reader.index.start))
            for number, picture in enumerate(_drawn(reader, masks, objects, style or Style())):
                until = pictures.write(number, picture)
                if track is not None:
                    track.write_until(until)
                if on_frame is not None:
                    on_frame(number)
            pictures.finish()
            if track is not None:
                track.write_until(math.inf)
        partial.replace(target)
    except (OSError, av.error.FFmpegError) as error:
        raise StorageError(f"The overlay {target} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):  # where the folder could not even be made, there is nothing to remove
            partial.unlink(missing_ok=True)
    return target


def check_overlay(out_path: str | os.PathLike[str], source: Source | str, *, overwrite: bool = False) -> None:
    """What :func:`write_overlay` would refuse, to be asked before hours of tracking; changes nothing. Raises as it does."""
    target = Path(out_path)
    source = resolve(source) if isinstance(source, str) else source
    if target.suffix.lower() not in _FORMATS:
        raise VideoError(f"An overlay cannot be written to {target}; its name must end in {', '.join(_FORMATS)}.")
    if target.exists():
        if source.is_local and target.samefile(source.path):
            raise VideoError(f"The overlay would overwrite its own source {target}; choose another name.")
        if not overwrite and not _is_overlay(target):
            raise VideoError(f"{target} exists already and is no overlay of tam-dist; remove it or choose another name.")


def _is_overlay(path: Path) -> bool:
    """Whether :func:`write_overlay` made the file: it may then be made anew, as it is after every resumed run."""
    try:
        with av.open(str(path), metadata_errors="ignore") as file:
            return _MARK in file.metadata.values()
    except (av.error.FFmpegError, OSError):
        return False


def _drawn(reader: VideoReader, masks: LabelSource, objects: Sequence[TrackedObject], style: Style) -> Iterator[UInt8Array]:
    total = reader.info.frame_count
    for start in range(0, total, _READ_AT_ONCE):
        for offset, frame in enumerate(reader.read(start, min(start + _READ_AT_ONCE, total))):
            yield draw_objects(frame, masks(start + offset), objects, style)


class _Pictures:
    """The overlay's picture track: H.264 at the source's frame times, counted from the source's start."""

    def __init__(self, reader: VideoReader, out: OutputContainer) -> None:
        info, index = reader.info, reader.index
        self._out, self._info = out, info
        self._times = index.pts - round(index.start / info.time_base)
        self._step = max(1, round(1 / (info.fps * info.time_base)))
        # A keyframe every two seconds lets players jump; the rest x264 decides by quality.
        options = {"crf": "19", "preset": "veryfast", "g": str(max(1, round(2 * info.fps)))}
        self._stream = stream = out.add_stream("libx264", rate=info.fps, options=options)
        stream.width, stream.height = info.width + info.width % 2, info.height + info.height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = info.time_base
        stream.codec_context.sample_aspect_ratio = index.sample_aspect
        stream.colorspace = stream.color_primaries = stream.color_trc = _BT709
        stream.color_range = _LIMITED_RANGE

    def write(self, number: int, picture: UInt8Array) -> float:
        """Write frame ``number``; returns the second at which it ends."""
        last = number + 1 == len(self._times)
        time = int(self._times[number])
        duration = self._step if last else int(self._times[number + 1]) - time
        padding = ((0, self._info.height % 2), (0, self._info.width % 2), (0, 0))
        padded = np.ascontiguousarray(np.pad(picture, padding, mode="edge"))
        frame = av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.pts, frame.time_base, frame.duration = time, self._info.time_base, duration
        self._out.mux(self._stream.encode(frame))
        return float((time + duration) * self._info.time_base)

    def finish(self) -> None:
        self._out.mux(self._stream.encode(None))

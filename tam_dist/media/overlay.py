"""The source video with its masks drawn in: same frame times, same sound, one file that plays everywhere."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import av
import av.error

from tam_dist.errors import StorageError, VideoError
from tam_dist.media.drawing import Style, draw_objects
from tam_dist.media.picture_track import H264, PictureTrack
from tam_dist.media.reader import VideoReader
from tam_dist.media.sound import SoundTrack
from tam_dist.media.source import Source, resolve
from tam_dist.types import LabelArray, TrackedObject, UInt8Array

LabelSource = Callable[[int], LabelArray | None]
"""The label map (H, W) of a frame number, or None where the frame has not been tracked."""

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_MARK = "overlay by tam-dist"
_READ_AT_ONCE = 16


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
        drawn = _drawn(reader, masks, objects, style or Style(), on_frame)
        encode_overlay(partial, _FORMATS[target.suffix.lower()], reader, drawn, sound=sound)
        partial.replace(target)
    except (OSError, av.error.FFmpegError) as error:
        raise StorageError(f"The overlay {target} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):  # where the folder could not even be made, there is nothing to remove
            partial.unlink(missing_ok=True)
    return target


def encode_overlay(
    path: Path,
    container: str,
    reader: VideoReader,
    drawn: Iterable[UInt8Array],
    *,
    numbers: Sequence[int] | None = None,
    sound: bool = True,
) -> None:
    """Encode ``drawn`` pictures, those of frames ``numbers`` or of all, into ``path``, with the source's sound in between.

    ``container`` is FFmpeg's name of one. Raises what the disk and FFmpeg raise.
    """
    info, index = reader.info, reader.index
    with av.open(str(path), "w", format=container, options={"movflags": "+faststart"}) as out, contextlib.ExitStack() as stack:
        out.metadata["comment"] = _MARK
        pictures = PictureTrack(out, index, info.fps, H264, numbers)
        track = None
        if sound and info.has_audio:
            start = index.start if numbers is None else int(index.pts[numbers[0]]) * index.time_base
            track = stack.enter_context(SoundTrack(resolve(info.uri), out, start, cut=numbers is not None))
        until = 0.0
        for picture in drawn:
            until = pictures.write(picture)
            if track is not None:
                track.write_until(until)
        pictures.finish()
        if track is not None and numbers is None:
            track.write_until(math.inf)


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


def _drawn(
    reader: VideoReader,
    masks: LabelSource,
    objects: Sequence[TrackedObject],
    style: Style,
    on_frame: Callable[[int], None] | None,
) -> Iterator[UInt8Array]:
    total = reader.info.frame_count
    for start in range(0, total, _READ_AT_ONCE):
        for number, frame in enumerate(reader.read(start, min(start + _READ_AT_ONCE, total)), start):
            yield draw_objects(frame, masks(number), objects, style)
            if on_frame is not None:  # the frame before has been taken by the time the next one is asked for
                on_frame(number)

"""Videos: the masks drawn over the source, and the objects cut out of it, as video with an alpha channel or as RGBA pictures.

Alpha is straight (not multiplied into the colours), 255 on the chosen objects and 0 beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from PIL import Image

from tam_dist.errors import StorageError
from tam_dist.export.footage import Footage, MaskFrame
from tam_dist.export.parallel import for_each
from tam_dist.media.drawing import draw_objects
from tam_dist.media.overlay import encode_overlay
from tam_dist.media.picture_track import Coding, PictureTrack
from tam_dist.types import LabelArray, UInt8Array

#: Alpha goes through a second encoder, which refuses the hidden frames that this switches off.
_VP9 = Coding("libvpx-vp9", "yuva420p", "rgba", {"crf": "24", "b": "0", "auto-alt-ref": "0", "cpu-used": "5", "row-mt": "1"})
_PRORES = Coding("prores_ks", "yuva444p10le", "rgba", {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"})
#: Colours are kept so many pixels around an object: chroma is coarser than alpha, and players scale, both of which would
#: mix black into its rim. Farther away they are black, which costs nothing.
_RIM = 8


def write_overlay_video(footage: Footage, path: Path) -> None:
    """H.264 in MP4 with tinted masks, contours and names, at the source's frame times and with its sound."""
    numbers = None if len(footage) == footage.video.frame_count else footage.numbers
    drawn = (draw_objects(picture, frame.labels, footage.objects) for frame, picture in footage.with_pictures())
    with footage.open_source() as reader:
        try:
            encode_overlay(path, "mp4", reader, drawn, numbers=numbers, sound=footage.request.sound)
        except av.error.FFmpegError as error:
            raise StorageError(f"The overlay of {footage.video.uri} cannot be written: {error}.") from error


def write_webm(footage: Footage, path: Path) -> None:
    """VP9 with alpha in WebM, which browsers show over what is behind it. Not lossless; no sound."""
    _write_cutout(footage, path, "webm", _VP9)


def write_prores(footage: Footage, path: Path) -> None:
    """ProRes 4444 with 16-bit alpha in MOV, for editing. Not lossless in colour; no sound."""
    _write_cutout(footage, path, "mov", _PRORES)


def write_rgba(footage: Footage, folder: Path) -> None:
    """``00000.png``, 8-bit RGBA: the source's colours on the objects, transparent black beside them."""

    def write(pair: tuple[MaskFrame, UInt8Array]) -> None:
        frame, picture = pair
        Image.fromarray(cut_out(picture, frame.labels, rim=0)).save(
            folder / f"{footage.stem(frame.number)}.png", compress_level=3
        )

    for_each(write, footage.with_pictures())


def cut_out(picture: UInt8Array, labels: LabelArray, *, rim: int) -> UInt8Array:
    """uint8 (H, W, 4) RGBA of ``picture`` (H, W, 3), opaque where ``labels`` is above 0, black farther than ``rim`` off."""
    inside = (labels > 0).astype(np.uint8)
    coloured = cv2.dilate(inside, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)) if rim else inside
    return np.dstack([picture * coloured[:, :, None], inside * np.uint8(255)])


def _write_cutout(footage: Footage, path: Path, container: str, coding: Coding) -> None:
    index = footage.index()
    numbers = None if len(footage) == footage.video.frame_count else footage.numbers
    try:
        with av.open(str(path), "w", format=container) as out:
            track = PictureTrack(out, index, footage.video.fps, coding, numbers)
            for picture in _cut_pictures(footage):
                track.write(picture)
            track.finish()
    except av.error.FFmpegError as error:
        raise StorageError(f"The cut-out of {footage.video.uri} cannot be written: {error}.") from error


def _cut_pictures(footage: Footage) -> Iterator[UInt8Array]:
    return (cut_out(picture, frame.labels, rim=_RIM) for frame, picture in footage.with_pictures())

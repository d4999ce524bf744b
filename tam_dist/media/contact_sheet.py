"""One picture that shows how a video went: frames spread over its length with their masks, numbers and times."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tam_dist.errors import StorageError
from tam_dist.media.drawing import Style, draw_objects
from tam_dist.media.reader import VideoReader
from tam_dist.types import LabelArray, TrackedObject, UInt8Array

_BACKGROUND = (19, 20, 24)
_BRIGHT = (236, 238, 242)
_DIM = (139, 144, 156)
_FLATTEST = 1 / 4  # a cell's height over its width, or the reverse; what is flatter still lies in the middle of its cell
_MARGIN, _GAP, _CAPTION, _HEADER = 32, 16, 30, 84
_CORNER = 8


def contact_sheet(
    reader: VideoReader,
    masks: Callable[[int], LabelArray | None],
    objects: Sequence[TrackedObject],
    *,
    frames: Sequence[int] | None = None,
    rows: int = 3,
    columns: int = 4,
    cell_width: int = 360,
    cuts: Sequence[int] = (),
) -> UInt8Array:
    """uint8 (H, W, 3) RGB: ``frames`` of the video, or ``rows * columns`` spread evenly over it, with their ``masks`` drawn in,
    and the number of the shot where ``cuts``, ascending, are frames that begin one.

    ``masks`` gives the label map (H, W) of a frame number, or None where it was not tracked.
    """
    chosen = spread(reader.info.frame_count, rows * columns) if frames is None else list(frames)
    columns = min(columns, max(1, len(chosen)))
    rows = -(-len(chosen) // columns)
    info = reader.info
    aspect = info.height / (info.width * float(reader.index.sample_aspect))
    cell_height = round(cell_width * min(max(aspect, _FLATTEST), 1 / _FLATTEST))
    width = 2 * _MARGIN + columns * cell_width + (columns - 1) * _GAP
    height = _MARGIN + _HEADER + rows * (cell_height + _CAPTION + _GAP) - _GAP + _MARGIN // 2
    size = max(1, min(cell_width, round(cell_height / aspect))), max(1, min(cell_height, round(cell_width * aspect)))
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _header(draw, reader, objects, width)
    for place, number in enumerate(chosen):
        x = _MARGIN + place % columns * (cell_width + _GAP)
        y = _MARGIN + _HEADER + place // columns * (cell_height + _CAPTION + _GAP)
        cell = _cell(reader.read(number, number + 1)[0], masks(number), objects, size)
        left, top = (cell_width - cell.shape[1]) // 2, (cell_height - cell.shape[0]) // 2
        sheet.paste(Image.fromarray(cell), (x + left, y + top), _rounded(cell.shape[1], cell.shape[0]))
        baseline = y + cell_height + 8
        shot = f"   ·   shot {bisect_right(cuts, number) + 1}" if cuts else ""
        draw.text((x + 2, baseline), f"frame {number}{shot}", font=_font(14), fill=_BRIGHT)
        draw.text((x + cell_width - 2, baseline), clock(reader.index.seconds(number)), font=_font(14), fill=_DIM, anchor="ra")
    return np.asarray(sheet)


def save_contact_sheet(
    reader: VideoReader,
    masks: Callable[[int], LabelArray | None],
    objects: Sequence[TrackedObject],
    out_path: str | os.PathLike[str],
    *,
    frames: Sequence[int] | None = None,
    rows: int = 3,
    columns: int = 4,
    cuts: Sequence[int] = (),
) -> Path:
    """Write :func:`contact_sheet` as a PNG, replacing an older one; returns its path. Raises :class:`StorageError`."""
    target = Path(out_path)
    picture = contact_sheet(reader, masks, objects, frames=frames, rows=rows, columns=columns, cuts=cuts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(target, format="PNG")
    except OSError as error:
        raise StorageError(f"The contact sheet {target} cannot be written: {error}") from error
    return target


def spread(frame_count: int, wanted: int) -> list[int]:
    """``wanted`` frame numbers spread evenly, the first and last among them; all frames where there are fewer.

    >>> spread(100, 4), spread(3, 12)
    ([0, 33, 66, 99], [0, 1, 2])
    """
    return [int(number) for number in np.unique(np.linspace(0, frame_count - 1, min(wanted, frame_count)).astype(int))]


def clock(seconds: float) -> str:
    """
    >>> clock(3.5), clock(3723.25)
    ('0:03.50', '1:02:03.25')
    """
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    text = f"{rest // 100:02d}.{rest % 100:02d}"
    return f"{minutes}:{text}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{text}"


def _cell(frame: UInt8Array, labels: LabelArray | None, objects: Sequence[TrackedObject], size: tuple[int, int]) -> UInt8Array:
    small = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    few = None if labels is None else cast(LabelArray, cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST))
    return draw_objects(small, few, objects, Style(tint=0.45, contour=1, names=False))


def _header(draw: ImageDraw.ImageDraw, reader: VideoReader, objects: Sequence[TrackedObject], width: int) -> None:
    info = reader.info
    name = PurePosixPath(info.uri.replace("\\", "/")).name
    rate = f"{float(info.fps):.2f}".rstrip("0").rstrip(".")
    length = clock(reader.index.seconds(info.frame_count - 1) + float(1 / info.fps))
    facts = f"{info.frame_count} frames   ·   {length}   ·   {rate} fps   ·   {info.width} x {info.height}"
    draw.text((_MARGIN, _MARGIN - 6), name, font=_font(24), fill=_BRIGHT)
    draw.text((_MARGIN, _MARGIN + 30), facts, font=_font(14), fill=_DIM)
    x: float = width - _MARGIN
    limit = _MARGIN + max(draw.textlength(facts, font=_font(14)), draw.textlength(name, font=_font(24))) + 2 * _GAP
    for item in reversed(objects):
        x -= draw.textlength(item.name, font=_font(14))
        if x - 22 < limit:
            break  # more names than fit beside the title; the colours in the pictures still tell them apart
        draw.text((x, _MARGIN + 30), item.name, font=_font(14), fill=_BRIGHT)
        draw.rounded_rectangle((x - 20, _MARGIN + 32, x - 8, _MARGIN + 44), radius=4, fill=item.colour)
        x -= 20 + 18


def _rounded(width: int, height: int) -> Image.Image:
    """A mask with rounded corners, smooth: drawn at four times the size."""
    mask = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), radius=_CORNER * 4, fill=255)
    return mask.resize((width, height), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

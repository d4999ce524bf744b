"""From what a page sends to calls of :mod:`tam_dist.steering`."""

from __future__ import annotations

import base64
import binascii
import io
import uuid
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from tam_dist.errors import PromptError
from tam_dist.prompts import in_given_order, new_prompt
from tam_dist.types import Box, Click, Clicks, Mask, Prompt, PromptData, VideoInfo

Name = Annotated[str, Field(min_length=1, max_length=100)]
Frame = Annotated[int, Field(ge=0, lt=2**31)]


class Mark(BaseModel):
    """What was drawn for one object: ``points`` as x, y, 1 or 0, and at most one of ``box`` (x0, y0, x1, y1) and ``mask``, a
    PNG in base64 of which every pixel above 0 is the object. ``new``: the object is to be added.
    """

    object: Name
    points: Annotated[list[tuple[float, float, int]], Field(max_length=100)] = []
    box: tuple[float, float, float, float] | None = None
    mask: str | None = None
    new: bool = False


class Correction(BaseModel):
    """Of the objects in one frame, by somebody who saw it with masks of ``revision``. ``id`` is the page's own for it: one that
    is sent again, since the answer was lost, counts once. ``replace``: instead of what was given there before.
    """

    id: uuid.UUID
    frame: Frame
    revision: Annotated[int, Field(ge=0)]
    replace: bool = False
    marks: Annotated[list[Mark], Field(min_length=1, max_length=300)]


def prompts_of(mark: Mark, correction: Correction, author: str, video: VideoInfo) -> list[Prompt]:
    """The box or mask first, then the clicks that refine it. Raises :class:`PromptError`."""
    drawn: list[PromptData] = []
    if mark.mask is not None:
        drawn.append(decode_mask(mark.mask, video))
    if mark.box is not None:
        drawn.append(Box(*mark.box))
    if mark.points:
        drawn.append(Clicks(tuple(Click(x, y, bool(positive)) for x, y, positive in mark.points)))
    if not drawn:
        raise PromptError(f"Nothing is drawn for {mark.object!r}: click on it, or draw a box or a mask.")
    prompts = in_given_order([new_prompt(correction.frame, mark.object, data, author=author) for data in drawn])
    names = (f"{mark.object}/{data.kind}" for data in drawn)
    return [replace(p, uuid=uuid.uuid5(correction.id, n).hex) for p, n in zip(prompts, names, strict=True)]


def decode_mask(text: str, video: VideoInfo) -> Mask:
    """Raises :class:`PromptError` for what is no PNG of the video's size."""
    from PIL import Image

    try:
        data = base64.b64decode(text.rpartition(",")[2], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (video.width, video.height):
                raise PromptError(f"The mask is {image.width}x{image.height}, the video {video.width}x{video.height}.")
            alpha = image.getchannel("A") if image.mode == "RGBA" else image.convert("L")
            pixels = np.asarray(alpha) > 127
    except (binascii.Error, OSError, ValueError, Image.DecompressionBombError) as error:
        raise PromptError("The mask that the page sent is no PNG: reload the page.") from error
    return Mask.from_array(pixels)

"""Which of a video's frames a file speaks of, and its masks and boxes as prompts on them."""

from __future__ import annotations

import numpy as np

from tam_dist.errors import MaskFileError
from tam_dist.importing.annotations import Annotations, painted
from tam_dist.media.image_folder import image_names
from tam_dist.media.source import resolve
from tam_dist.prompts import checked_name, new_prompt
from tam_dist.types import Box, Mask, Prompt, VideoInfo

AUTHOR = "import"


def frames_of(found: Annotations, info: VideoInfo, first_frame: int | None) -> dict[int, int]:
    """The file's number of each of the video's frames that it has anything on.

    Of a video that is a folder of images, frames are known by their names; else by number, where the first one is 0 or 1: 1
    where there is no 0 and the highest is the number of frames, or the format counts from 1. Raises
    :class:`MaskFileError` where none fits.
    """
    if first_frame is None and info.reader == "images" and found.stems:
        names = image_names(resolve(info.uri))
        stems = {name.rpartition(".")[0]: frame for frame, name in enumerate(names)}
        by_name = {stems[stem]: number for number, stem in found.stems.items() if stem in stems}
        if len(by_name) > len(found.frames) // 2:
            return {frame: by_name[frame] for frame in sorted(by_name) if by_name[frame] in set(found.frames)}
    numbers = found.frames
    if not numbers:
        raise MaskFileError(f"{found.where} has nothing on any frame: export it again.")
    if first_frame is None:
        from_one = found.form in ("mot",) or (numbers[0] >= 1 and numbers[-1] == info.frame_count)
        first_frame = 1 if from_one else 0
    fitting = {number - first_frame: number for number in numbers if 0 <= number - first_frame < info.frame_count}
    if not fitting:
        raise MaskFileError(
            f"{found.where} has frames {numbers[0]}..{numbers[-1]}, and {info.uri} has {info.frame_count}, so that none fits: "
            "give the masks of this video, or with --first-frame the number they start from."
        )
    return fitting


def first_prompts(found: Annotations, numbers: dict[int, int], info: VideoInfo) -> list[Prompt]:
    """Each object on the first frame that it is on."""
    left, prompts = set(found.names), []
    for frame, number in numbers.items():
        if not left:
            break
        fresh = [p for p in prompts_on(found, frame, number, info) if p.object_name in left]
        left -= {p.object_name for p in fresh}
        prompts += fresh
    if not prompts:
        raise MaskFileError(f"{found.where} has no object on any frame of {info.uri}: check that it is of this video.")
    return prompts


def prompts_on(found: Annotations, frame: int, number: int, info: VideoInfo) -> list[Prompt]:
    masks = found.masks(number, info.height, info.width)
    labels, _ = painted(masks, info.height, info.width, len(found.names), f"{found.where}, frame {number},")
    shown = {int(v) - 1: Mask.from_array(labels == v) for v in np.unique(labels) if v}
    given: list[Prompt] = [new_prompt(frame, _checked(found, i), mask, author=AUTHOR) for i, mask in shown.items()]
    for index, box in found.boxes.get(number, ()):
        inside = _scaled(box, found, info)
        if index not in shown and inside.x0 < inside.x1 and inside.y0 < inside.y1:
            given.append(new_prompt(frame, _checked(found, index), inside, author=AUTHOR))
    return given


def _checked(found: Annotations, index: int) -> str:
    return checked_name(found.names[index])


def _scaled(box: Box, found: Annotations, info: VideoInfo) -> Box:
    """In the video's size and inside its picture."""
    width, height = found.size or (info.width, info.height)
    x, y = info.width / width, info.height / height
    return Box(
        float(np.clip(box.x0 * x, 0, info.width)),
        float(np.clip(box.y0 * y, 0, info.height)),
        float(np.clip(box.x1 * x, 0, info.width)),
        float(np.clip(box.y1 * y, 0, info.height)),
    )

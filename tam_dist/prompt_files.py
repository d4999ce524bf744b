"""Prompts from files: JSON written by hand or by a program, label maps from an annotation tool.

A prompt file is a list of entries, or ``{"prompts": [entries], "objects": [names]}`` where the order of objects matters;
the entries are those of a corpus line. Each names an ``object`` and a ``frame`` and has one of ``clicks``, ``box``,
``mask``, ``polygon`` with ``size``, ``absent``::

[{"object": "cat", "frame": 0, "clicks": [[320, 240, 1], [10, 20, 0]]}, {"object": "dog", "frame": 0, "box": [10, 20, 200,
180]}, {"object": "car", "frame": 30, "mask": "masks/car.png"}, {"object": "cat", "absent": [100, 140]}]
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tam_dist.addresses import absolute, parent, read_bytes
from tam_dist.errors import PromptError
from tam_dist.polygons import polygon_mask
from tam_dist.prompts import checked_name, new_prompt
from tam_dist.strict_json import parse, shown
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, PromptData

if TYPE_CHECKING:
    from PIL.Image import Image

_KINDS = ("clicks", "box", "mask", "polygon", "absent")
_FIELDS = ("object", "frame", *_KINDS, "size")
#: More values in one label map than this are soft edges or a photograph, not objects.
MAX_LABELS = 1000
#: Formats whose pixels come back a little different: 3 objects were seen to become 527.
_LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP")
#: Beyond every coordinate and frame number; not a number compares as not below it.
_HUGE = 1e12

Path = str | os.PathLike[str]


def read_prompt_file(path: Path) -> list[Prompt]:
    """The prompts in a JSON file (a path or fsspec URL); paths of masks in it are relative to its folder.

    Where it lists ``objects``, prompts are sorted in that order, so that the first is object 1 whoever is mentioned first.
    Raises :class:`PromptError` that says which entry and which field is wrong.
    """
    path = os.fspath(path)
    try:
        content = parse(read_bytes(path))
    except OSError as error:
        raise PromptError(f"The prompt file {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise PromptError(f"The prompt file {path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        return from_entries(content, path, parent(path))
    for key in content:
        if key not in ("prompts", "objects"):
            raise PromptError(f"{path} has an unknown field {key!r}{_nearest(key, ('prompts', 'objects'))}.")
    prompts = from_entries(content.get("prompts"), path, parent(path))
    order = _object_order(content.get("objects"), prompts, path)
    return sorted(prompts, key=lambda prompt: order[prompt.object_name]) if order else prompts


def from_entries(entries: object, where: str, folder: Path) -> list[Prompt]:
    """The prompts of a parsed list of entries; ``where`` names their source in errors, ``folder`` (a path or URL) is where
    masks lie.
    """
    folder = os.fspath(folder)
    if not isinstance(entries, list):
        raise PromptError(
            f'{where} must hold a list of prompts, such as [{{"object": "cat", "frame": 0, "clicks": [[320, 240, 1]]}}].'
        )
    return [_from_entry(entry, f"{where}, prompt {number}", folder) for number, entry in enumerate(entries, 1)]


def read_label_map(path: Path, frame: int) -> list[Prompt]:
    """One mask prompt for each non-zero value of a PNG (a path or fsspec URL), in ascending order, named ``object-<value>``.

    Indexed, black-and-white and grey pictures (8 or 16 bit) count their values; in a colour picture every colour but black
    is an object named ``object-<rrggbb>``. Transparent pixels are background.
    """
    with _opened(path, f"The label map {path}") as image:
        values, name = _label_values(image)
    found = [int(value) for value in np.unique(values) if value]
    if not found:
        raise PromptError(f"The label map {path} is empty: no pixel has a value above 0.")
    if len(found) > MAX_LABELS:
        raise PromptError(
            f"The label map {path} has {len(found)} different values: save it without soft edges, one value an object."
        )
    return [new_prompt(frame, name.format(value), Mask.from_array(values == value)) for value in found]


# --- entries ---------------------------------------------------------------------------------------------------------


def _from_entry(entry: object, where: str, folder: str) -> Prompt:
    if not isinstance(entry, dict):
        raise PromptError(f"{where} must be an object with the fields object, frame and one of {', '.join(_KINDS)}.")
    for key in entry:
        if key not in _FIELDS:
            raise PromptError(f"{where} has an unknown field {key!r}{_nearest(key, _FIELDS)}.")
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        has = " and ".join(kinds) or "none"
        raise PromptError(f"{where} must have exactly one of the fields {', '.join(_KINDS)}; it has {has}.")
    name = _name(entry.get("object"), f'{where}, field "object"')
    data: PromptData
    if kinds[0] == "polygon":
        data = polygon_mask(entry["polygon"], entry.get("size"), where)
    else:
        data = _data(kinds[0], entry[kinds[0]], f'{where}, field "{kinds[0]}"', folder)
    return new_prompt(_frame(entry, data, where), name, data)


def _name(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise PromptError(f"{where}: {shown(value)} must be a name in quotes.")
    try:
        return checked_name(value)
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from error


def _frame(entry: Mapping[str, Any], data: PromptData, where: str) -> int:
    frame = entry.get("frame", data.first if isinstance(data, Absent) else None)
    if not _is_frame(frame):
        raise PromptError(f'{where}, field "frame": {shown(frame)} must be a frame number, counted from 0.')
    return data.first if isinstance(data, Absent) else int(frame)


def _data(kind: str, value: object, where: str, folder: str) -> PromptData:
    match kind:
        case "clicks":
            if not isinstance(value, list) or not value:
                raise PromptError(f"{where}: {shown(value)} must be a list of clicks [x, y, 1] or [x, y, 0].")
            return Clicks(tuple(_click(click, where) for click in value))
        case "box":
            numbers = _numbers(value)
            if len(numbers) != 4:
                raise PromptError(f"{where}: {shown(value)} must be four numbers [x0, y0, x1, y1].")
            return Box(*numbers)
        case "mask":
            if not isinstance(value, str) or not value:
                raise PromptError(f"{where}: {shown(value)} must be the path of a PNG.")
            return _read_mask(absolute(value, folder), where)
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_frame, value)) and value[0] <= value[1]):
        raise PromptError(f"{where}: {shown(value)} must be two frame numbers [first, last].")
    return Absent(*value)


def _click(value: object, where: str) -> Click:
    """``[x, y, 1 positive | 0 negative]``; ``[x, y]`` is a positive one."""
    numbers = _numbers(value)
    if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] not in (0, 1)):
        raise PromptError(f"{where}: {shown(value)} must be a click [x, y, 1], or [x, y, 0] for a negative one.")
    return Click(numbers[0], numbers[1], positive=len(numbers) == 2 or numbers[2] == 1)


def _numbers(value: object) -> list[float]:
    """The finite numbers of a JSON list, or [] where it is none or holds anything else."""
    if not isinstance(value, list):
        return []
    right = all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _HUGE for v in value)
    return [float(v) for v in value] if right else []


def _is_frame(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _HUGE


def _object_order(names: object, prompts: Sequence[Prompt], path: str) -> dict[str, int]:
    if names is None:
        return {}
    if not isinstance(names, list):
        raise PromptError(f'{path}, field "objects": {shown(names)} must be a list of names.')
    order: dict[str, int] = {}
    for number, value in enumerate(names):
        name = _name(value, f'{path}, field "objects"')
        if name in order:
            raise PromptError(f'{path}, field "objects": two objects are named {name!r}; give each its own name.')
        order[name] = number
    for number, prompt in enumerate(prompts, 1):
        if prompt.object_name not in order:
            hint = _nearest(prompt.object_name, list(order))
            raise PromptError(
                f'{path}, prompt {number}, field "object": {prompt.object_name!r} is not among the objects{hint}.'
            )
    return order


# --- pictures --------------------------------------------------------------------------------------------------------


def _read_mask(path: str, where: str) -> Mask:
    """Every pixel above 0 belongs to the object."""
    with _opened(path, f"{where}: the mask {path}") as image:
        return Mask.from_array(_label_values(image)[0] > 0)


def _opened(path: Path, what: str) -> Image:
    """The decoded picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(BytesIO(read_bytes(os.fspath(path))))
        image.load()
    except FileNotFoundError as error:
        raise PromptError(f"{what} does not exist.") from error
    except UnidentifiedImageError as error:
        raise PromptError(f"{what} is not a picture; give a PNG.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PromptError(f"{what} cannot be read ({getattr(error, 'strerror', None) or error}); give a PNG.") from error
    if image.format in _LOSSY:
        raise PromptError(f"{what} is a {image.format}, which does not keep pixels exactly: save it as PNG.")
    return image


def _label_values(image: Image) -> tuple[NDArray[np.int64], str]:
    """(H, W) values, 0 = background, and the pattern of a value's object name."""
    if image.mode in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        return np.asarray(image).astype(np.int64), "object-{}"
    if image.mode == "LA":
        grey, alpha = (np.asarray(band).astype(np.int64) for band in image.split())
        return np.where(alpha > 0, grey, 0), "object-{}"
    red, green, blue, alpha = np.moveaxis(np.asarray(image.convert("RGBA")).astype(np.int64), -1, 0)
    return np.where(alpha > 0, red << 16 | green << 8 | blue, 0), "object-{:06x}"


# --- words -----------------------------------------------------------------------------------------------------------


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"

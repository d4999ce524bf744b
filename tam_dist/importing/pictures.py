"""Folders of label maps: DAVIS and YouTube-VOS, KITTI MOTS, RGB masks of any tool, black-and-white ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tam_dist.errors import MaskFileError
from tam_dist.importing.annotations import Annotations, Painted, check_size

_VOID = 255
_MOST_COLOURS = 1000  # in one picture; more are soft edges or a photograph
_NUMBER = re.compile(r"(\d+)(?!.*\d)")  # the last one in a name


def read_pictures(folder: Path, video: str) -> Annotations:
    """The PNGs of a folder, of a data set's folder that has one for ``video`` (``Annotations/480p/<video>``), or of a folder
    for each object. Raises :class:`MaskFileError`.
    """
    for_objects = _object_folders(folder)
    if for_objects:
        return _read_binary(folder, for_objects)
    where = _folder_of(folder, video)
    files = _numbered(where)
    seen: dict[int, None] = {}
    forms = set()
    for path in files.values():
        values, form = _values(path)
        forms.add(form)
        seen |= dict.fromkeys(int(v) for v in np.unique(values) if v)
    if forms == {"grey"} and set(seen) == {255}:
        forms = {"black-and-white"}
    if "grey" in forms or "indexed" in forms:
        seen.pop(_VOID, None)
    if len(forms) > 1:
        raise MaskFileError(f"{where} mixes {' and '.join(sorted(forms))} pictures: give one kind.")
    (form,) = forms
    ids = list(seen) if form == "rgb" else sorted(seen, key=lambda value: value % 1000 if form == "16-bit" else value)
    if not ids:
        raise MaskFileError(f"{where} has no object: no pixel of its {len(files)} pictures has a value above 0.")
    names = _names(folder, where, video, form, ids)
    indices = {value: index for index, value in enumerate(ids)}

    def paint(frame: int) -> Painted:
        values, _ = _values(files[frame])
        return [(indices[int(v)], values == v) for v in np.unique(values) if int(v) in indices]

    stems = {number: path.stem for number, path in files.items()}
    return Annotations(str(where), form, names, paint=paint, pictures=sorted(files), stems=stems)


def _read_binary(folder: Path, folders: dict[str, Path]) -> Annotations:
    """A folder of black-and-white pictures for each object."""
    files = {name: _numbered(path) for name, path in folders.items()}

    def paint(frame: int) -> Painted:
        found = ((index, files[name][frame]) for index, name in enumerate(files) if frame in files[name])
        return [(index, _values(path)[0] > 0) for index, path in found]

    stems = {number: path.stem for of_object in files.values() for number, path in of_object.items()}
    numbers = sorted(stems)
    return Annotations(str(folder), "black-and-white", list(files), paint=paint, pictures=numbers, stems=stems)


def _object_folders(folder: Path) -> dict[str, Path]:
    """``<id>-<object>`` folders as we write them, by the objects' names; {} where it is something else."""
    inside = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: _order(p.name)) if folder.is_dir() else []
    if not inside or not all(re.match(r"\d+-.", path.name) and any(path.glob("*.png")) for path in inside):
        return {}
    known = _exported_names(folder)
    return {known.get(_order(p.name)) or p.name.partition("-")[2]: p for p in inside}


def _order(name: str) -> int:
    digits = re.match(r"\d+", name)
    return int(digits[0]) if digits else -1


def _folder_of(folder: Path, video: str) -> Path:
    if any(folder.glob("*.png")):
        return folder
    levels = ("", "Annotations", "Annotations/480p", "Annotations/Full-Resolution", "instances")
    for place in (folder / level / name for level in levels for name in (video, "")):
        if place.is_dir() and any(place.glob("*.png")):
            return place
    held = sorted({p.parent for p in folder.rglob("*.png")})
    if len(held) == 1:
        return held[0]
    hint = f"it has {', '.join(p.name for p in held[:5])}" if held else "it has no PNG at all"
    raise MaskFileError(f"{folder} has no folder of masks for the video {video!r}, {hint}: name the folder of its PNGs.")


def _numbered(folder: Path) -> dict[int, Path]:
    """Its PNGs by the last number in their names, or in order where one has none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png" and not path.name.startswith("."))
    matches = [_NUMBER.search(path.stem) for path in paths]
    if not all(matches):
        return dict(enumerate(paths))
    numbered = {int(match[1]): path for match, path in zip(matches, paths, strict=True) if match is not None}
    if len(numbered) < len(paths):
        raise MaskFileError(f"{folder} has two pictures of one number, such as 1.png and 01.png: give one for each frame.")
    return numbered


def _values(path: Path) -> tuple[NDArray[np.int64], str]:
    """(H, W) values, 0 background, and what kind of picture it is: indexed, grey, black-and-white, 16-bit or rgb."""
    try:
        with Image.open(path) as image:
            check_size(*image.size, str(path))
            image.load()
            if image.mode == "P":
                return np.asarray(image).astype(np.int64), "indexed"
            if image.mode == "1":
                return np.asarray(image).astype(np.int64), "black-and-white"
            if image.mode == "L":
                return np.asarray(image).astype(np.int64), "grey"
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.int64), "16-bit"
            rgba = np.asarray(image.convert("RGBA")).astype(np.int64)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskFileError(f"The picture {path} cannot be read ({error}): replace it.") from error
    values = np.where(rgba[:, :, 3] > 0, rgba[:, :, 0] << 16 | rgba[:, :, 1] << 8 | rgba[:, :, 2], 0)
    if len(np.unique(values)) > _MOST_COLOURS:
        raise MaskFileError(f"The picture {path} has more than {_MOST_COLOURS} colours: save masks without soft edges.")
    return values, "rgb"


def _names(folder: Path, where: Path, video: str, form: str, ids: list[int]) -> list[str]:
    known = _exported_names(where) or _exported_names(folder) or _youtube_names(folder, video)
    classes: list[str] = []
    if form == "16-bit" and (where / "labels.txt").is_file():
        classes = (where / "labels.txt").read_text(encoding="utf-8").splitlines()

    def name(value: int) -> str:
        if form == "rgb":
            return f"object-{value:06x}"
        if form == "16-bit":
            kind, number = divmod(value, 1000)
            label = classes[kind - 1] if 0 < kind <= len(classes) else "object"
            return known.get(number) or f"{label}-{number}"
        return known.get(value) or f"object-{value}"

    return [name(value) for value in ids]


def _exported_names(folder: Path) -> dict[int, str]:
    """Names of ids from the ``export.json`` that lies in a folder or above it."""
    for place in (folder, *list(folder.parents)[:3]):
        try:
            return {int(o["id"]): str(o["name"]) for o in json.loads((place / "export.json").read_bytes())["objects"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def _youtube_names(folder: Path, video: str) -> dict[int, str]:
    try:
        objects = json.loads((folder / "meta.json").read_bytes())["videos"][video]["objects"]
        return {int(id_): f"{entry['category']}-{id_}" for id_, entry in objects.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}

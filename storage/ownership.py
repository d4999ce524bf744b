"""What may be deleted or replaced: files that carry tam-dist's own mark, and nothing that merely has the same name.

A user's ``checkpoints/best.pt`` or ``failed.jsonl`` is not ours. A mark is a name that only we give, or a content that only
we write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from storage.location import Location
from tam_dist.errors import ProjectExistsError, SchemaError

#: Names in a project's folders that only we give.
_OWN_NAMES = {
    "commits": re.compile(r"\d{8,}\.(json|rewriting)"),
    "checkpoints": re.compile(r"\d{8,}\.safetensors"),
    "checkpoints-backward": re.compile(r"\d{8,}\.safetensors"),
    "tracks": re.compile(r"\d{8,}\.json"),
    "prompts": re.compile(r"\d{20}-[0-9a-f]{32}\.json"),
}
_ARRAYS = ("labels", "quality", "origin", "pts")
#: An attribute of the root of ``masks.zarr``.
MASKS_MARK = {"made_by": "tam-dist"}


def remove_own(folder: Location) -> None:
    """Remove what is ours in one of the project's folders, as ``commits``, and the folder if it is empty then."""
    own = _OWN_NAMES[folder.name]
    _remove_children(folder, [name for name in folder.children() if own.fullmatch(name)])


def remove_masks(folder: Location) -> None:
    """Remove a project's arrays from ``masks.zarr``. Those of a killed creation have a mark and may lack arrays."""
    for name in _ARRAYS:
        if (folder / name / "zarr.json").exists():
            (folder / name).remove_tree()
    if folder.children() == ["zarr.json"]:
        folder.remove_tree()


def check_masks_replaceable(folder: Location) -> None:
    """Raise :class:`ProjectExistsError` where there is a ``masks.zarr`` that is not ours."""
    if not folder.children():
        return
    root = _first_object((folder / "zarr.json").read() or b"")
    attributes = root.get("attributes")
    marked = isinstance(attributes, dict) and attributes.items() >= MASKS_MARK.items()
    if not marked and not set(folder.children()) <= {"zarr.json", *_ARRAYS}:
        raise ProjectExistsError(f"{folder} was not written by tam-dist: move it away or choose another --out.")


def check_project(manifest: Location) -> None:
    """Raise :class:`SchemaError` where ``project.json`` is not one of ours, so that nothing beside it may be deleted."""
    data = manifest.read()
    if data is not None and not {"schema_version", "source"} <= _first_object(data).keys():
        raise SchemaError(f"{manifest} is not, or no longer, a project's: remove the folder yourself or choose another --out.")


def _remove_children(folder: Location, names: Collection[str]) -> None:
    for name in names:
        (folder / name).remove()
    if not folder.children():
        folder.remove_tree()


def _first_object(data: bytes) -> dict[str, Any]:
    for text in (data, data.split(b"\n", 1)[0]):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return {}

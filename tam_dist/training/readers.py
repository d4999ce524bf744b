"""Readers of the formats that masks come in: each turns a file tree into groups of labelled pictures.

Labels are uint8: 0 background, 1..K instances, 255 not known. Overlapping polygons are painted from the largest to the
smallest, so that what lies in front of something bigger stays visible.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tam_dist.training.components import follow_components
from tam_dist.training.layers import IGNORE, Picture
from tam_dist.training.packed import LabelledPicture, PictureGroup, TrainingDataError
from tam_dist.training.trees import FileTree
from tam_dist.types import UInt8Array

Polygon = Sequence[float]
MOST_INSTANCES = 90
"""More in one picture are left to the background: labels from 100 on mean other things in clips."""


# --- pictures with polygons --------------------------------------------------------------------------------------------


def coco_stills(tree: FileTree, annotations: str, folders: Sequence[str]) -> Iterator[PictureGroup]:
    """COCO's JSON with polygons; crowds and run-length masks become "not known". Images lie in one of ``folders``."""
    data = json.loads(tree.read(annotations))
    present = set(tree.names())
    kinds = {category["id"]: str(category["name"]) for category in data["categories"]}
    wanted: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in data["annotations"]:
        wanted[annotation["image_id"]].append(annotation)
    for entry in data["images"]:
        places = [f"{folder}/{entry['file_name']}".lstrip("/") for folder in folders]
        place = next((name for name in places if name in present), None)
        if place is None:
            continue
        shapes = [(kinds.get(a["category_id"], ""), a["segmentation"], bool(a.get("iscrowd"))) for a in wanted[entry["id"]]]
        instances = [(kind, polygons) for kind, polygons, crowd in shapes if isinstance(polygons, list) and not crowd]
        unknown = [polygons for _, polygons, crowd in shapes if isinstance(polygons, list) and crowd]
        # a crowd's run-length mask is not decoded: its box is not known instead
        boxes = [a["bbox"] for a in wanted[entry["id"]] if isinstance(a["segmentation"], dict)]
        yield from _still(place, _image(tree, place), instances, unknown, boxes)


def via_stills(tree: FileTree, annotations: str, folder: str, kind: str) -> Iterator[PictureGroup]:
    """VGG Image Annotator's JSON with polygons, all of one ``kind``."""
    present = set(tree.names())
    for entry in json.loads(tree.read(annotations)).values():
        place = f"{folder}/{entry['filename']}"
        if place not in present:
            continue
        regions = entry["regions"].values() if isinstance(entry["regions"], dict) else entry["regions"]
        shapes = [region["shape_attributes"] for region in regions]
        polygons = [np.stack([s["all_points_x"], s["all_points_y"]], 1).ravel().tolist() for s in shapes if "all_points_x" in s]
        yield from _still(place, _image(tree, place), [(kind, [polygon]) for polygon in polygons])


def yolo_stills(tree: FileTree, kind: str, *, version: str = r"\.rf\.[0-9a-f]+") -> Iterator[PictureGroup]:
    """YOLO's text files (class, then x y in 0..1), in folders ``labels…`` beside ``images…``.

    Exports hold a photo several times, with noise; of names that differ by ``version`` only the first is taken.
    """
    present = set(tree.names())
    taken: set[str] = set()
    for name in sorted(present):
        path = PurePosixPath(name)
        if path.suffix != ".txt" or not path.parent.name.startswith("labels"):
            continue
        place = str(path.parent.parent / path.parent.name.replace("labels", "images", 1) / path.stem) + ".jpg"
        photo = re.sub(version, "", path.stem)
        if place not in present or photo in taken:
            continue
        taken.add(photo)
        image = _image(tree, place)
        scale = np.array([image.shape[1], image.shape[0]])
        rows = [line.split()[1:] for line in tree.read(name).decode().splitlines()]
        shapes = [(np.array(row, float).reshape(-1, 2) * scale).ravel().tolist() for row in rows if len(row) >= 6]
        yield from _still(place, image, [(kind, [polygon]) for polygon in shapes])


def _still(
    name: str,
    image: UInt8Array,
    instances: Iterable[tuple[str, Sequence[Polygon]]],
    unknown: Iterable[Sequence[Polygon]] = (),
    unknown_boxes: Iterable[Sequence[float]] = (),
) -> Iterator[PictureGroup]:
    masks = [(kind, _paint(polygons, image.shape[:2])) for kind, polygons in instances]
    masks = [(kind, mask) for kind, mask in masks if mask.any()]
    masks = sorted(masks, key=lambda item: -np.count_nonzero(item[1]))[:MOST_INSTANCES]
    if not masks:
        return
    labels = np.zeros(image.shape[:2], np.uint8)
    for polygons in unknown:
        labels[_paint(polygons, labels.shape) > 0] = IGNORE
    for x, y, width, height in unknown_boxes:
        labels[int(y) : int(y + height) + 1, int(x) : int(x + width) + 1] = IGNORE
    for label, (_, mask) in enumerate(masks, start=1):
        labels[mask > 0] = label
    yield PictureGroup(name, [LabelledPicture(Picture(image, labels), tuple(kind for kind, _ in masks))])


def _paint(polygons: Sequence[Polygon], shape: tuple[int, ...]) -> UInt8Array:
    mask = np.zeros(shape, np.uint8)
    corners = [np.asarray(p, float).reshape(-1, 2).round().astype(np.int32) for p in polygons if len(p) >= 6]
    cv2.fillPoly(mask, corners, 1)
    return mask


# --- pictures with label maps ------------------------------------------------------------------------------------------


def mask_stills(
    tree: FileTree, pairs: Iterable[tuple[str, str]], kinds: Mapping[str, str] | str, values: Mapping[int, int] | None = None
) -> Iterator[PictureGroup]:
    """(image, label map) paths as stills. ``values`` maps the maps' values to labels; None keeps them. ``kinds`` names what
    the objects are: for all, or by the image's path."""
    for place, mask in pairs:
        labels = _labels(tree, mask, values)
        kind = kinds if isinstance(kinds, str) else kinds.get(place, "")
        image = _image(tree, place)
        if image.shape[:2] == labels.shape and np.any((labels > 0) & (labels < IGNORE)):
            yield PictureGroup(place, [_labelled(image, labels, kind)])


def mask_sequences(
    tree: FileTree, sequences: Mapping[str, Sequence[tuple[str, str]]], values: Mapping[int, int] | None = None, kind: str = ""
) -> Iterator[PictureGroup]:
    """Sequences of (image, label map) paths whose labels stay with their objects."""

    def frames(pairs: Sequence[tuple[str, str]]) -> Iterator[LabelledPicture]:
        for place, mask in pairs:
            yield _labelled(_image(tree, place), _labels(tree, mask, values), kind)

    for name, pairs in sequences.items():
        yield PictureGroup(name, frames(pairs))


def compacted(groups: Iterable[PictureGroup]) -> Iterator[PictureGroup]:
    """The same with each group's labels renumbered 1..K, for maps whose objects are grey levels far apart."""
    for group in groups:
        items = list(group.pictures)
        values = sorted({int(value) for item in items for value in np.unique(item.picture.labels)} - {0, IGNORE})
        table = np.zeros(256, np.uint8)
        table[IGNORE] = IGNORE
        table[values] = np.arange(1, len(values) + 1)
        pictures = [_labelled(item.picture.image, np.asarray(table[item.picture.labels]), "") for item in items]
        yield PictureGroup(group.name, pictures)


def foreground_sequences(
    tree: FileTree, sequences: Mapping[str, Sequence[tuple[str, str]]], values: Mapping[int, int]
) -> Iterator[PictureGroup]:
    """Sequences whose maps say only where something moves (label 1): connected pieces are followed through time and each
    becomes an instance (:func:`follow_components`). Frames that show nothing are left out at both ends."""
    for name, pairs in sequences.items():
        images = [_image(tree, place) for place, _ in pairs]
        maps = follow_components([_labels(tree, mask, values) for _, mask in pairs], most=MOST_INSTANCES)
        busy = [t for t, labels in enumerate(maps) if np.any((labels > 0) & (labels < IGNORE))]
        if busy:
            kept = range(busy[0], busy[-1] + 1)
            yield PictureGroup(name, [_labelled(images[t], maps[t], "") for t in kept])


def _labelled(image: UInt8Array, labels: UInt8Array, kind: str) -> LabelledPicture:
    if image.shape[:2] != labels.shape:
        raise TrainingDataError(f"A label map of {labels.shape} does not fit its picture of {image.shape[:2]}.")
    last = int(np.where(labels == IGNORE, 0, labels).max(initial=0))
    return LabelledPicture(Picture(image, labels), (kind,) * last)


def _image(tree: FileTree, name: str) -> UInt8Array:
    try:
        with Image.open(io.BytesIO(tree.read(name))) as file:
            return np.asarray(file.convert("RGB"))
    except OSError as error:
        raise TrainingDataError(f"The training picture {name} cannot be read: {error}") from error


def _labels(tree: FileTree, name: str, values: Mapping[int, int] | None) -> UInt8Array:
    try:
        with Image.open(io.BytesIO(tree.read(name))) as file:
            raw = np.asarray(file.convert("L") if file.mode == "1" else file)  # of an indexed file the places, not the colours
    except OSError as error:
        raise TrainingDataError(f"The label map {name} cannot be read: {error}") from error
    if raw.ndim == 3:
        raw = raw[..., 0]
    if values is None:
        return raw.astype(np.uint8)
    table = np.zeros(256, np.uint8)
    for value, label in values.items():
        table[value] = label
    return np.asarray(table[raw.astype(np.uint8)])

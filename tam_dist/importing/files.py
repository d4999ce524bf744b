"""Annotation files: COCO and YouTube-VIS JSON, MOTS and MOT text, CVAT XML, also in the zip that CVAT hands out."""

from __future__ import annotations

import csv
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from tam_dist.errors import MaskFileError
from tam_dist.importing.annotations import Annotations, CocoPolygon, CocoShape, PolygonShape, RowShape, Shape, check_size
from tam_dist.types import Box

_MOST_BYTES = 8 << 30
_MOST_RATIO = 200  # of a member to its compressed size: text of runs packs 20 times, a bomb 1000 times
_NUMBER = re.compile(r"(\d+)(?!.*\d)")


def read_coco(path: Path, video: str) -> Annotations:
    """COCO's images with track ids, or YouTube-VIS's tracks; of several videos, the one named ``video``."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MaskFileError(f"{path} is not JSON ({error}): export it again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise MaskFileError(f"{path} is neither COCO nor YouTube-VIS, it has no list of annotations: check the file.")
    tracks = any("segmentations" in a for a in content["annotations"][:1])
    try:
        return _read_tracks(content, path, video) if tracks else _read_images(content, path)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise MaskFileError(f"{path} is damaged ({type(error).__name__}: {error}): export it again.") from error


def read_text(path: Path) -> Annotations:
    """MOTS (six fields between blanks) or MOT (between commas): masks, or boxes from 1."""
    with path.open(encoding="utf-8", errors="replace") as file:
        first = next((line for line in file if line.strip()), "")
    if len(first.split()) == 6:
        return _read_mots(path)
    if first.count(",") >= 5:
        return _read_mot(path)
    raise MaskFileError(f"{path} is neither MOTS (frame id class height width rle) nor MOT (frame,id,left,top,…): check it.")


def read_cvat(path: Path) -> Annotations:
    """CVAT's XML 1.1, for videos or images: masks, polygons, and boxes as boxes."""
    reader = _CvatReader(path)
    with _opened(path) as file:
        reader.parse(file)
    found = reader.found
    _fill(found)
    if not found.shapes and not found.boxes:
        raise MaskFileError(f"{path} has no mask, polygon or box: export it from CVAT as CVAT for video 1.1.")
    return found


# --- COCO --------------------------------------------------------------------------------------------------------------


def _read_images(content: Mapping[str, Any], path: Path) -> Annotations:
    names = _exported_names(path)
    found = Annotations(str(path), "coco", list(names.values()))
    kinds = {c["id"]: str(c["name"]) for c in content.get("categories", ())}
    images = {image["id"]: image for image in content["images"]}
    frames = {}
    for place, image in enumerate(content["images"]):
        number = image.get("frame_index")
        stem = Path(str(image.get("file_name", ""))).stem
        match = _NUMBER.search(stem)
        frames[image["id"]] = int(number) if number is not None else int(match[1]) if match else place
        found.stems[frames[image["id"]]] = stem
        found.listed.add(frames[image["id"]])
    tracked = any(_track(a) is not None for a in content["annotations"])
    for annotation in content["annotations"]:
        image, kind = images[annotation["image_id"]], kinds.get(annotation.get("category_id"), "object")
        id_ = _track(annotation)
        name = kind if id_ is None else names.get(id_) or f"{kind}-{id_}"
        frame = frames[annotation["image_id"]]
        if not tracked and any(found.names[index] == name for index, _ in found.shapes.get(frame, ())):
            raise MaskFileError(
                f"{path} has no track ids and two of the category {kind!r} in frame {frame}: which is which in other frames "
                "cannot be known, so give each a track_id."
            )
        shape = _coco_shape(annotation, int(image["height"]), int(image["width"]), str(path))
        if shape is not None:
            found.add(frame, name, shape)
            found.size = (int(image["width"]), int(image["height"]))
        elif annotation.get("bbox"):
            found.add_box(frame, name, _box(annotation["bbox"]))
    return found


def _read_tracks(content: Mapping[str, Any], path: Path, video: str) -> Annotations:
    names = _exported_names(path)
    found = Annotations(str(path), "ytvis", list(names.values()))
    kinds = {c["id"]: str(c["name"]) for c in content.get("categories", ())}
    videos = {v["id"]: v for v in content["videos"]}
    of_name = {str(v["file_names"][0]).split("/")[0]: v["id"] for v in videos.values()}
    chosen = next(iter(videos)) if len(videos) == 1 else of_name.get(video)
    if chosen is None:
        raise MaskFileError(f"{path} has {len(videos)} videos and none is named {video!r}: name the video's file as it does.")
    files = [Path(str(name)).stem for name in videos[chosen]["file_names"]]
    matches = [_NUMBER.search(stem) for stem in files]
    numbers = [int(m[1]) for m in matches if m] if all(matches) else list(range(len(files)))
    found.stems = dict(zip(numbers, files, strict=True))
    found.listed.update(numbers)
    for place, track in enumerate(content["annotations"], 1):
        if track["video_id"] != chosen:
            continue
        id_ = int(track.get("id", place))
        name = names.get(id_) or f"{kinds.get(track['category_id'], 'object')}-{id_}"
        for number, rle in zip(numbers, track["segmentations"], strict=True):
            if rle is not None:
                check_size(int(rle["size"][1]), int(rle["size"][0]), str(path))
                found.add(number, name, CocoShape(rle))
    return found


def _coco_shape(annotation: Mapping[str, Any], height: int, width: int, where: str) -> Shape | None:
    segmentation = annotation.get("segmentation")
    check_size(width, height, where)
    if isinstance(segmentation, dict):
        check_size(int(segmentation["size"][1]), int(segmentation["size"][0]), where)
        return CocoShape(segmentation)
    if segmentation:
        return CocoPolygon(tuple(tuple(map(float, part)) for part in segmentation), height, width)
    return None


def _track(annotation: Mapping[str, Any]) -> int | None:
    value = annotation.get("track_id", annotation.get("instance_id", (annotation.get("attributes") or {}).get("track_id")))
    return None if value is None else int(value)


def _box(bbox: Iterable[float]) -> Box:
    x, y, width, height = map(float, bbox)
    return Box(x, y, x + width, y + height)


# --- MOT ---------------------------------------------------------------------------------------------------------------


def _read_mots(path: Path) -> Annotations:
    names = _exported_names(path)
    found = Annotations(str(path), "mots", list(names.values()))
    for number, line in _lines(path):
        try:
            frame, id_, kind, height, width, counts = line.split()
            key, size = int(id_) % 1000, [int(height), int(width)]
            ignored, at = int(kind) == 10, int(frame)
        except ValueError as error:
            raise MaskFileError(f"{path}, line {number}: write frame id class height width rle, between blanks.") from error
        check_size(size[1], size[0], f"{path}, line {number},")
        if not ignored:
            found.add(at, names.get(key) or f"object-{id_}", CocoShape({"size": size, "counts": counts}))
    _fill(found)
    return found


def _read_mot(path: Path) -> Annotations:
    names = _exported_names(path.parent)
    found = Annotations(str(path), "mot", list(names.values()))
    for number, line in _lines(path):
        try:
            row = [float(v) for v in next(csv.reader([line]))]
            frame, id_, left, top, width, height = row[:6]
            considered = len(row) < 7 or row[6] != 0
            box = Box(left - 1, top - 1, left - 1 + width, top - 1 + height)
            if considered:
                found.add_box(int(frame), names.get(int(id_)) or f"object-{int(id_)}", box)
        except (ValueError, OverflowError) as error:
            raise MaskFileError(f"{path}, line {number}: write frame,id,left,top,width,height, numbers only.") from error
    return found


def _fill(found: Annotations) -> None:
    """A file without a list of frames, in which an empty one leaves no trace, speaks of all from its first to its last."""
    if found.shapes and not found.listed:
        found.listed.update(range(min(found.shapes), max(found.shapes) + 1))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


# --- CVAT --------------------------------------------------------------------------------------------------------------


class _CvatReader:
    """Follows the elements of the XML one after the other; none of its own entities is ever expanded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found = Annotations(str(path), "cvat")
        self._track: Mapping[str, str] = {}
        self._image: Mapping[str, str] = {}
        self._text = ""
        self._width = 0
        self._in_label = False
        self._tracks_of: Counter[str] = Counter()
        self._named: dict[str, str] = {}

    def parse(self, file: IO[bytes]) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.buffer_text = True
        try:
            parser.ParseFile(file)
        except expat.ExpatError as error:
            raise MaskFileError(f"{self._path} is not whole XML ({error}): export it again.") from error
        except (KeyError, ValueError) as error:
            line = parser.CurrentLineNumber
            raise MaskFileError(f"{self._path}, line {line}, is damaged ({error!r}): export it again.") from error

    def _refuse(self, *_: object) -> None:
        raise MaskFileError(f"{self._path} declares a document type, which CVAT never does: it is refused as unsafe.")

    def _characters(self, text: str) -> None:
        self._text = text

    def _start(self, tag: str, values: dict[str, str]) -> None:
        match tag:
            case "label":
                self._in_label = True
            case "track":
                self._track = values
            case "image":
                self._image = values
                self.found.stems[int(values["id"])] = Path(values.get("name", "")).stem
                self.found.listed.add(int(values["id"]))
                self._set_size(int(values["width"]), int(values["height"]))
            case "mask" | "polygon" | "box":
                self._shape(tag, values)

    def _end(self, tag: str) -> None:
        match tag:
            case "name":  # of a label, in the order of which objects are numbered; those without a mask are dropped
                if self._in_label:
                    self.found.index(self._text)
            case "label":
                self._in_label = False
            case "width":
                self._width = int(self._text)
            case "height":
                self._set_size(self._width, int(self._text))
            case "track":
                self._track = {}
            case "image":
                self._image = {}

    def _set_size(self, width: int, height: int) -> None:
        check_size(width, height, str(self._path))
        self.found.size = (width, height)

    def _shape(self, tag: str, values: Mapping[str, str]) -> None:
        if values.get("outside") == "1":
            return
        frame = int(values["frame"] if self._track else self._image["id"])
        if tag == "box":
            box = Box(*(float(values[key]) for key in ("xtl", "ytl", "xbr", "ybr")))
            self.found.add_box(frame, self._name(tag, values, frame), box)
            return
        shape: Shape
        if tag == "mask":
            counts = tuple(int(n) for n in values["rle"].split(","))
            left, top, width, height = (int(values[key]) for key in ("left", "top", "width", "height"))
            shape = RowShape(left, top, width, height, counts)
        else:
            shape = PolygonShape((tuple(float(v) for pair in values["points"].split(";") for v in pair.split(",")),))
        self.found.add(frame, self._name(tag, values, frame), shape)

    def _name(self, tag: str, values: Mapping[str, str], frame: int) -> str:
        """A track of boxes or polygons is an object. Masks have no tracks in CVAT: their label and group tell the object."""
        if self._track and tag != "mask":
            label, id_ = self._track["label"], self._track["id"]
            if id_ not in self._named:
                self._tracks_of[label] += 1
                count = self._tracks_of[label]
                self._named[id_] = label if count == 1 else f"{label} {count}"
            return self._named[id_]
        label = self._track["label"] if self._track else values["label"]
        group = (self._track or values).get("group_id", "0")
        name = label if group == "0" else f"{label} {group}"
        taken = {self.found.names[index] for index, _ in self.found.shapes.get(frame, ())}
        if name not in taken:
            return name
        note = f"several masks of {label!r} lie in one frame: they are told apart by their order, which may change"
        if note not in self.found.notes:
            self.found.notes.append(note)
        return next(f"{name} {n}" for n in range(2, 1 << 16) if f"{name} {n}" not in taken)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The XML of a file or of CVAT's zip, read as a stream, nothing unpacked to the disk."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield file
        return
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_only_xml(archive, path)) as file:
            yield file
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:  # the last: encrypted
        raise MaskFileError(f"{path} cannot be unpacked ({error}): download it again.") from error


def _only_xml(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if m.filename.rpartition("/")[2] == "annotations.xml"]
    if len(members) != 1:
        raise MaskFileError(f"{path} holds {len(members)} files annotations.xml, and one is expected: check it.")
    (member,) = members
    if member.file_size > _MOST_BYTES or member.file_size > _MOST_RATIO * max(member.compress_size, 1 << 10):
        raise MaskFileError(
            f"{path}: annotations.xml would unpack to {member.file_size >> 20} MiB from {member.compress_size >> 10} KiB, "
            "which looks like a zip bomb: unpack it yourself if it is none."
        )
    return member


def _exported_names(path: Path) -> dict[int, str]:
    """Names of ids from the ``export.json`` beside the file or above it."""
    for place in (path.with_name(f"{path.name}.export.json"), path.parent / "export.json"):
        try:
            return {int(o["id"]): str(o["name"]) for o in json.loads(place.read_bytes())["objects"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}

"""COCO's JSON, of images with track ids and of whole videos as YouTube-VIS has it. Written as a stream, never held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from tam_dist.export.footage import Footage
from tam_dist.export.png import write_jpeg
from tam_dist.export.rle import LabelRuns, category
from tam_dist.export.spool import Spool
from tam_dist.types import FloatArray, TrackedObject


def write_coco(footage: Footage, folder: Path) -> None:
    """``annotations.json`` with an image a frame and an annotation for each object in it: compressed RLE, ``bbox``, ``area``,
    the object's id as ``track_id`` and its quality as ``score``; with images, ``images/00000.jpg``.
    """
    numbers = category_ids(footage.objects)
    if footage.request.images:
        (folder / "images").mkdir()
    with Spool(folder) as spool, (folder / "annotations.json").open("w", encoding="utf-8") as file:
        head = {"info": info(footage), "videos": [_video(footage)], "categories": _categories(numbers)}
        file.write(f'{json.dumps(head)[:-1]}, "images": [')
        annotation = 0
        for place, (frame, picture) in enumerate(footage.with_images()):
            if picture is not None:
                write_jpeg(folder / "images" / f"{footage.stem(frame.number)}.jpg", picture)
            file.write((",\n" if place else "\n") + json.dumps(_image(footage, frame.number, place)))
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                box = runs.box(item.id)
                if box is None:
                    continue
                annotation += 1
                fields: dict[str, Any] = {
                    "id": annotation,
                    "image_id": place + 1,
                    "category_id": numbers[category(item.name)],
                    "track_id": item.id,
                    "segmentation": runs.coco(item.id),
                    "bbox": list(box),
                    "area": runs.area(item.id),
                    "iscrowd": 0,
                }
                score = _score(frame.quality, item)
                fields |= {} if score is None else {"score": score}
                spool.append("annotations", (",\n" if annotation > 1 else "\n") + json.dumps(fields))
        file.write('\n], "annotations": [')
        spool.copy("annotations", file)
        file.write("\n]}\n")


def write_ytvis(footage: Footage, folder: Path) -> None:
    """``instances.json`` with an entry for each object over the whole video: an RLE (uncompressed, as YouTube-VIS has it), a
    box and an area a frame, or null where it is not seen. ``results.json`` has the same tracks as evaluations take predictions.
    With images, ``JPEGImages/<video>/00000.jpg``.
    """
    numbers = category_ids(footage.objects)
    images = folder / "JPEGImages" / footage.name
    if footage.request.images:
        images.mkdir(parents=True)
    with Spool(folder) as spool:
        for place, (frame, picture) in enumerate(footage.with_images()):
            if picture is not None:
                write_jpeg(images / f"{footage.stem(frame.number)}.jpg", picture)
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                for name, value in _track_fields(runs, item.id).items():
                    spool.append((item.id, name), (", " if place else "") + json.dumps(value))
        with (folder / "instances.json").open("w", encoding="utf-8") as file:
            _write_instances(footage, numbers, spool, file)
        with (folder / "results.json").open("w", encoding="utf-8") as file:
            for place, item in enumerate(footage.objects):
                entry = {"video_id": 1, "category_id": numbers[category(item.name)], "score": 1.0}
                file.write((",\n" if place else "[\n") + json.dumps(entry)[:-1] + ', "segmentations": [')
                spool.copy((item.id, "compressed"), file)
                file.write("]}")
            file.write("\n]\n")


def _track_fields(runs: LabelRuns, id_: int) -> dict[str, Any]:
    box = runs.box(id_)
    if box is None:
        return dict.fromkeys(("segmentations", "compressed", "bboxes", "areas"))
    size = [runs.height, runs.width]
    return {
        "segmentations": {"size": size, "counts": runs.counts(id_)},
        "compressed": runs.coco(id_),
        "bboxes": list(box),
        "areas": runs.area(id_),
    }


def _write_instances(footage: Footage, numbers: dict[str, int], spool: Spool, file: IO[str]) -> None:
    head = {"info": info(footage), "categories": _categories(numbers)}
    video = _video(footage) | {"length": len(footage)}
    file.write(f'{json.dumps(head)[:-1]}, "videos": [{json.dumps(video)[:-1]}, "file_names": [')
    for place, number in enumerate(footage.numbers):
        file.write((", " if place else "") + json.dumps(f"{footage.name}/{footage.stem(number)}.jpg"))
    file.write(']}], "annotations": [')
    for place, item in enumerate(footage.objects):
        entry = {
            "id": item.id,
            "video_id": 1,
            "category_id": numbers[category(item.name)],
            "iscrowd": 0,
            "width": footage.video.width,
            "height": footage.video.height,
        }
        file.write((",\n" if place else "\n") + json.dumps(entry)[:-1])
        for name in ("segmentations", "bboxes", "areas"):
            file.write(f', "{name}": [')
            spool.copy((item.id, name), file)
            file.write("]")
        file.write("}")
    file.write("\n]}\n")


def category_ids(objects: Sequence[TrackedObject]) -> dict[str, int]:
    """Numbers from 1 for the kinds of things that the objects' names tell."""
    return {name: number for number, name in enumerate(dict.fromkeys(category(o.name) for o in objects), 1)}


def info(footage: Footage) -> dict[str, str]:
    return {"description": f"masks of {footage.name} by tam-dist"}


def _categories(numbers: dict[str, int]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()]


def _video(footage: Footage) -> dict[str, Any]:
    video = footage.video
    return {"id": 1, "name": footage.name, "width": video.width, "height": video.height, "fps": float(video.fps)}


def _image(footage: Footage, number: int, place: int) -> dict[str, Any]:
    return {
        "id": place + 1,
        "video_id": 1,
        "frame_index": number,
        "file_name": f"{footage.stem(number)}.jpg",
        "width": footage.video.width,
        "height": footage.video.height,
    }


def _score(quality: FloatArray, item: TrackedObject) -> float | None:
    score = quality[item.id - 1]
    return None if np.isnan(score) else round(float(score), 4)

"""Polygons, a JSON a frame, as LabelMe and X-AnyLabeling have them. Not lossless: holes are filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tam_dist.export.footage import Footage, MaskFrame
from tam_dist.export.parallel import for_each
from tam_dist.export.png import write_jpeg
from tam_dist.types import BoolArray, UInt8Array

_VERSION = "5.5.0"  # of LabelMe, whose files these are like


def write_labelme(footage: Footage, folder: Path) -> None:
    """``00000.json`` with a polygon for each part of each object, its id as ``group_id``; with images, ``00000.jpg`` beside."""

    def write(pair: tuple[MaskFrame, UInt8Array | None]) -> None:
        frame, picture = pair
        name = footage.stem(frame.number)
        shapes = [
            {
                "label": item.name,
                "points": polygon,
                "group_id": item.id,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
            for item in footage.objects
            for polygon in polygons(frame.labels == item.id)
        ]
        fields: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": f"{name}.jpg",
            "imageData": None,
            "imageHeight": footage.video.height,
            "imageWidth": footage.video.width,
        }
        (folder / f"{name}.json").write_text(json.dumps(fields), encoding="utf-8")
        if picture is not None:
            write_jpeg(folder / f"{name}.jpg", picture)

    for_each(write, footage.with_images())


def polygons(mask: BoolArray) -> list[list[list[float]]]:
    """The outlines of the parts of ``mask`` (H, W), as [x, y] of pixels' centres, three at least: drawn filled and with
    their rim, they give the parts back without their holes.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [contour[:, 0, :].astype(float).tolist() for contour in found]
    return [outline + outline[-1:] * (3 - len(outline)) for outline in outlines]  # a point or a line is a polygon too

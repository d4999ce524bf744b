"""Label Studio's JSON: masks as brushes on images, and boxes on a video, which is all it has there. Both as predictions, which
it shows to be taken over, with a labelling configuration that fits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from tam_dist.export.footage import Footage
from tam_dist.export.png import write_jpeg
from tam_dist.export.rle import LabelRuns
from tam_dist.export.spool import Spool
from tam_dist.types import BoolArray

_MODEL = "tam-dist"
_SIZES = (3, 4, 8, 16)  # bits of a run's length, by its two-bit code
_LONGEST = 1 << 16


def write_label_studio(footage: Footage, folder: Path) -> None:
    """``tasks.json`` with a task a frame and ``labels.xml``; with images, ``images/00000.jpg``, which the tasks name."""
    (folder / "labels.xml").write_text(
        f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n  <BrushLabels name="mask" toName="image">\n'
        f"{_labels(footage)}  </BrushLabels>\n</View>\n",
        encoding="utf-8",
    )
    if footage.request.images:
        (folder / "images").mkdir()
    with (folder / "tasks.json").open("w", encoding="utf-8") as out:
        for place, (frame, picture) in enumerate(footage.with_images()):
            name = f"images/{footage.stem(frame.number)}.jpg"
            if picture is not None:
                write_jpeg(folder / name, picture)
            results = [
                {
                    "id": f"{frame.number}-{item.id}",
                    "from_name": "mask",
                    "to_name": "image",
                    "type": "brushlabels",
                    "original_width": footage.video.width,
                    "original_height": footage.video.height,
                    "image_rotation": 0,
                    "value": {"format": "rle", "rle": brush_rle(frame.labels == item.id), "brushlabels": [item.name]},
                }
                for item in footage.objects
                if (frame.labels == item.id).any()
            ]
            task = {
                "data": {"image": name, "frame": frame.number},
                "predictions": [{"model_version": _MODEL, "result": results}],
            }
            out.write(("[\n" if not place else ",\n") + json.dumps(task))
        out.write("\n]\n")


def write_label_studio_boxes(footage: Footage, folder: Path) -> None:
    """``tasks.json`` with one task for the video, a ``VideoRectangle`` for each object (frames from 1, sizes in percent, the
    track interrupted where the object is not seen), and ``labels.xml``.
    """
    (folder / "labels.xml").write_text(
        f'<View>\n  <Video name="video" value="$video" framerate="{float(footage.video.fps):g}"/>\n'
        f'  <VideoRectangle name="box" toName="video"/>\n  <Labels name="label" toName="video">\n{_labels(footage)}'
        "  </Labels>\n</View>\n",
        encoding="utf-8",
    )
    index = footage.index()
    seen: dict[int, dict[str, Any]] = {}
    begun: set[int] = set()

    def put(spool: Spool, id_: int, *, enabled: bool) -> None:
        """Write an object's last box. It is interpolated to the next one, or from there on nowhere if not ``enabled``."""
        text = json.dumps(seen.pop(id_) | {"enabled": enabled})
        spool.append(id_, (", " if id_ in begun else "") + text)
        begun.add(id_)

    with Spool(folder) as spool, (folder / "tasks.json").open("w", encoding="utf-8") as out:
        for frame in footage:
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                box = runs.box(item.id)
                if item.id in seen:
                    put(spool, item.id, enabled=box is not None)
                if box is not None:
                    seen[item.id] = _percent(box, footage) | {
                        "frame": frame.number + 1,
                        "time": round(index.seconds(frame.number), 6),
                        "rotation": 0,
                    }
        for id_ in list(seen):
            put(spool, id_, enabled=False)
        out.write(f'[{{"data": {{"video": {json.dumps(footage.video.uri)}}}, "predictions": [{{"model_version": "{_MODEL}", ')
        out.write('"result": [')
        duration = index.seconds(footage.video.frame_count - 1) + float(1 / footage.video.fps)
        for place, item in enumerate(o for o in footage.objects if o.id in begun):
            region = {"id": f"track-{item.id}", "from_name": "box", "to_name": "video", "type": "videorectangle"}
            value = {"framesCount": footage.video.frame_count, "duration": round(duration, 6), "labels": [item.name]}
            out.write(
                (",\n" if place else "\n") + f'{json.dumps(region)[:-1]}, "value": {json.dumps(value)[:-1]}, "sequence": ['
            )
            spool.copy(item.id, out)
            out.write("]}}")
        out.write("\n]}]}]\n")


def brush_rle(mask: BoolArray) -> list[int]:
    """Label Studio's bytes of a mask: runs of equal bytes of its RGBA picture, whose four channels are 0 or 255 alike, packed
    in bits (the format rle-pack of thi.ng).
    """
    flat = mask.ravel()
    edges = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]))
    bits = [f"{flat.size * 4:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, length in zip(edges[:-1].tolist(), (np.diff(edges) * 4).tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        left = length
        while left:
            run = min(left, _LONGEST)
            code = next(code for code, size in enumerate(_SIZES) if run <= 1 << size)
            bits.append(f"1{code:02b}{run - 1:0{_SIZES[code]}b}{value}")
            left -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _labels(footage: Footage) -> str:
    return "".join(
        f'    <Label value={quoteattr(item.name)} background="#{"".join(f"{part:02x}" for part in item.colour)}"/>\n'
        for item in footage.objects
    )


def _percent(box: tuple[int, int, int, int], footage: Footage) -> dict[str, Any]:
    width, height = footage.video.width, footage.video.height
    x, y, w, h = box
    return {"x": 100 * x / width, "y": 100 * y / height, "width": 100 * w / width, "height": 100 * h / height}

"""CVAT's XML 1.1. For videos CVAT knows tracks of boxes but not of masks: of a track it keeps the first mask alone. So a mask
is a track of its own, ended in the next frame, as CVAT itself writes them; and each object is a label, which keeps it apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from tam_dist.export.footage import Footage
from tam_dist.export.rle import LabelRuns, row_counts
from tam_dist.export.spool import Spool
from tam_dist.types import LabelArray, TrackedObject


def write_cvat(footage: Footage, path: Path) -> None:
    """CVAT for video 1.1 with the masks of every frame, for a task made of the whole video."""
    end = footage.video.frame_count
    with path.open("w", encoding="utf-8") as out:
        _head(out, footage, "interpolation")
        track = 0
        for frame in footage:
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                mask = _mask(frame.labels, runs, item)
                if mask is None:
                    continue
                label = quoteattr(item.name)
                out.write(f'  <track id="{track}" label={label} source="file">\n')
                out.write(f'    <mask frame="{frame.number}" keyframe="1" outside="0" occluded="0" {mask}></mask>\n')
                if frame.number + 1 < end:
                    out.write(f'    <mask frame="{frame.number + 1}" keyframe="1" outside="1" occluded="0" {mask}></mask>\n')
                out.write("  </track>\n")
                track += 1
        out.write("</annotations>\n")


def write_cvat_images(footage: Footage, path: Path) -> None:
    """CVAT for images 1.1: an image a frame, named as CVAT names the frames of a video."""
    video = footage.video
    with path.open("w", encoding="utf-8") as out:
        _head(out, footage, "annotation")
        for frame in footage:
            size = f'width="{video.width}" height="{video.height}"'
            out.write(f'  <image id="{frame.number}" name="frame_{frame.number:06d}.png" {size}>\n')
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                mask = _mask(frame.labels, runs, item)
                if mask is not None:
                    label = quoteattr(item.name)
                    out.write(f'    <mask label={label} source="file" occluded="0" {mask}></mask>\n')
            out.write("  </image>\n")
        out.write("</annotations>\n")


def write_cvat_boxes(footage: Footage, path: Path) -> None:
    """CVAT for video 1.1 with a track of boxes for each object; between exported frames CVAT interpolates."""
    with Spool(path) as spool, path.open("w", encoding="utf-8") as out:
        _head(out, footage, "interpolation")
        last: dict[int, str] = {}
        for frame in footage:
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                box = runs.box(item.id)
                if box is not None:
                    x, y, width, height = box
                    last[item.id] = f'xtl="{x}.00" ytl="{y}.00" xbr="{x + width}.00" ybr="{y + height}.00" z_order="0"'
                    spool.append(item.id, _box(frame.number, last[item.id], outside=False))
                elif item.id in last:  # without it, CVAT keeps the last box to the end
                    spool.append(item.id, _box(frame.number, last.pop(item.id), outside=True))
        for track, item in enumerate(footage.objects):
            out.write(f'  <track id="{track}" label={quoteattr(item.name)} source="file">\n')
            spool.copy(item.id, out)
            if item.id in last and footage.numbers[-1] + 1 < footage.video.frame_count:
                out.write(_box(footage.numbers[-1] + 1, last[item.id], outside=True))
            out.write("  </track>\n")
        out.write("</annotations>\n")


def _head(out: IO[str], footage: Footage, mode: str) -> None:
    video = footage.video
    labels = "".join(f"<label>{_label(item)}</label>" for item in footage.objects)
    out.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
        f"      <name>{escape(footage.name)}</name>\n      <size>{video.frame_count}</size>\n      <mode>{mode}</mode>\n"
        f"      <start_frame>0</start_frame>\n      <stop_frame>{video.frame_count - 1}</stop_frame>\n"
        f"      <labels>{labels}</labels>\n"
        f"      <original_size><width>{video.width}</width><height>{video.height}</height></original_size>\n"
        "    </task>\n  </meta>\n"
    )


def _label(item: TrackedObject) -> str:
    colour = "".join(f"{part:02x}" for part in item.colour)
    return f"<name>{escape(item.name)}</name><color>#{colour}</color><type>any</type><attributes></attributes>"


def _mask(labels: LabelArray, runs: LabelRuns, item: TrackedObject) -> str | None:
    """The attributes of a mask: runs of pixels row by row inside its box, the first of zeros."""
    box = runs.box(item.id)
    if box is None:
        return None
    x, y, width, height = box
    counts = ", ".join(map(str, row_counts(labels[y : y + height, x : x + width] == item.id)))
    return f'rle="{counts}" left="{x}" top="{y}" width="{width}" height="{height}" z_order="0"'


def _box(frame: int, corners: str, *, outside: bool) -> str:
    return f'    <box frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" {corners}></box>\n'

"""SA-V, the data set of SAM 2: a JSON a video with the masklets' RLEs, frame by frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tam_dist.export.footage import Footage
from tam_dist.export.rle import LabelRuns

_SMALL, _LARGE = 32**2, 96**2


def write_sav(footage: Footage, path: Path) -> None:
    """An entry of ``masklet`` for each exported frame (SA-V has every 4th: ``--every 4``), in it an RLE for each object, empty
    where it is not seen. ``masklet_first_appeared_frame`` counts the source's frames.
    """
    video, ids = footage.video, [item.id for item in footage.objects]
    areas, seen = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    changes, visible = dict.fromkeys(ids, 0), dict.fromkeys(ids, False)
    first: dict[int, int] = {}
    head: dict[str, Any] = {
        "video_id": footage.name,
        "video_duration": round(float(video.frame_count / video.fps), 6),
        "video_frame_count": float(video.frame_count),
        "video_height": float(video.height),
        "video_width": float(video.width),
        "video_resolution": float(video.height * video.width),
        "video_environment": [],
        "video_split": "",
    }
    with path.open("w", encoding="utf-8") as out:
        out.write(f'{json.dumps(head)[:-1]}, "masklet": [')
        for place, frame in enumerate(footage):
            runs = LabelRuns.of(frame.labels)
            for id_ in ids:
                area = runs.area(id_)
                if id_ in first and bool(area) != visible[id_]:
                    changes[id_] += 1
                visible[id_] = bool(area)
                if area:
                    first.setdefault(id_, frame.number)
                    areas[id_] += area
                    seen[id_] += 1
            out.write((",\n" if place else "\n") + json.dumps([runs.coco(id_) for id_ in ids]))
        means = [areas[id_] / max(1, seen[id_]) for id_ in ids]
        tail: dict[str, Any] = {
            "masklet_id": [id_ - 1 for id_ in ids],
            "masklet_name": [item.name for item in footage.objects],
            "masklet_size_rel": [mean / (video.height * video.width) for mean in means],
            "masklet_size_abs": means,
            "masklet_size_bucket": ["small" if m < _SMALL else "medium" if m < _LARGE else "large" for m in means],
            "masklet_visibility_changes": [changes[id_] for id_ in ids],
            "masklet_first_appeared_frame": [float(first.get(id_, 0)) for id_ in ids],
            "masklet_frame_count": [len(footage)] * len(ids),
            "masklet_edited_frame_count": [0] * len(ids),
            "masklet_type": ["manual"] * len(ids),
            "masklet_stability_score": None,
            "masklet_num": len(ids),
        }
        out.write("\n], " + json.dumps(tail)[1:] + "\n")

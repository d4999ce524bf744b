"""A project as a FiftyOne dataset: an image a frame, a detection with mask, track id and quality for each object.

    pip install fiftyone
    python examples/fiftyone_dataset.py PROJECT FOLDER_FOR_IMAGES

Sorting by ``masks.detections.confidence`` shows the frames that need a look first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fiftyone as fo
import numpy as np
from PIL import Image

from tam_dist import Project
from tam_dist.export.rle import LabelRuns, category
from tam_dist.media.reader import open_video


def samples(project: Project, images: Path, *, every: int = 1) -> Iterator[fo.Sample]:
    """Each ``every``-th frame, its picture written into ``images``."""
    images.mkdir(parents=True, exist_ok=True)
    height, width = project.video.height, project.video.width
    with open_video(project.video.uri) as video:
        for frame in range(0, project.video.frame_count, every):
            path = images / f"{frame:06d}.jpg"
            Image.fromarray(video.read(frame, frame + 1)[0]).save(path, quality=95)
            labels, quality = project.labels[frame], project.quality[frame]
            runs = LabelRuns.of(labels)
            detections = []
            for item in project.objects:
                box = runs.box(item.id)
                if box is None:
                    continue
                x, y, w, h = box
                detections.append(
                    fo.Detection(
                        label=category(item.name),
                        bounding_box=[x / width, y / height, w / width, h / height],
                        mask=labels[y : y + h, x : x + w] == item.id,
                        index=item.id,
                        confidence=None if np.isnan(quality[item.id - 1]) else float(quality[item.id - 1]),
                        object_name=item.name,
                    )
                )
            sample = fo.Sample(filepath=str(path), frame_number=frame)
            sample["masks"] = fo.Detections(detections=detections)
            yield sample


def main(project: str, images: str) -> None:
    opened = Project.open(project)
    dataset = fo.Dataset(Path(opened.location).name, overwrite=True)
    dataset.add_samples(samples(opened, Path(images)))
    print(dataset)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

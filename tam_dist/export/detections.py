"""A frame's masks as ``supervision.Detections``, for its annotators, filters and sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tam_dist.errors import ExportError
from tam_dist.export.coco import category_ids
from tam_dist.export.rle import LabelRuns, category

if TYPE_CHECKING:
    from supervision import Detections

    from tam_dist.project import Project


def detections_of(project: Project, frame: int) -> Detections:
    """The objects that are seen in ``frame``, by id; see :meth:`tam_dist.Project.detections`."""
    try:
        import supervision
    except ModuleNotFoundError as error:
        raise ExportError(
            f"Detections need the package {error.name}, which is not installed: pip install 'tam-dist[supervision]'."
        ) from error
    labels, quality = project.labels[frame], project.quality[frame]
    runs = LabelRuns.of(labels)
    boxes = {item: box for item in project.objects if (box := runs.box(item.id)) is not None}
    if not boxes:
        return supervision.Detections.empty()
    numbers = category_ids(project.objects)
    return supervision.Detections(
        xyxy=np.array([(x, y, x + w, y + h) for x, y, w, h in boxes.values()], np.float32),
        mask=np.stack([labels == item.id for item in boxes]),
        confidence=np.array([quality[item.id - 1] for item in boxes], np.float32),
        class_id=np.array([numbers[category(item.name)] for item in boxes]),
        tracker_id=np.array([item.id for item in boxes]),
        data={
            "class_name": np.array([category(item.name) for item in boxes]),
            "object": np.array([item.name for item in boxes]),
        },
    )

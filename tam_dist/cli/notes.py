"""What a finished project makes one doubt: masks that are empty, or another object's, where their object was shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tam_dist.types import Absent, Clicks

if TYPE_CHECKING:
    from tam_dist.project import Project


def doubts(project: Project) -> Iterator[str]:
    """A sentence for each object without a pixel, or with a click on another one's pixel, on the first frame that it was shown
    on: masks exclude each other, so of two objects prompted at the same place one has what the other leaves.
    """
    names = {tracked.id: tracked.name for tracked in project.objects}
    for tracked in project.objects:
        shown = [p for p in project.prompts if p.object_name == tracked.name and not isinstance(p.data, Absent)]
        if not shown:
            continue
        frame = shown[0].frame
        labels = project.labels[frame]
        points = [c for p in shown if p.frame == frame and isinstance(p.data, Clicks) for c in p.data.points if c.positive]
        under = {int(labels[int(c.y), int(c.x)]) for c in points} - {0, tracked.id}
        covered = f"the mask of {', '.join(sorted(repr(names[i]) for i in under))} covers its click"
        if not (labels == tracked.id).any():
            why = covered if under else "look at its prompt"
            yield f"{tracked.name!r} has no pixel on frame {frame}, where it was shown: {why}"
        elif under:
            yield f"{tracked.name!r} may be another object's double on frame {frame}: {covered}"

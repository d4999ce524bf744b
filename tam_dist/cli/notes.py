"""What a finished project makes one doubt: masks that are empty where their object was shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tam_dist.types import Absent, Clicks

if TYPE_CHECKING:
    from tam_dist.project import Project


def doubts(project: Project) -> Iterator[str]:
    """A sentence for each object without a pixel on the first frame that it was shown on.

    Masks exclude each other, so of two objects prompted at the same place one is empty; it is told which the other is.
    """
    names = {tracked.id: tracked.name for tracked in project.objects}
    for tracked in project.objects:
        shown = [p for p in project.prompts if p.object_name == tracked.name and not isinstance(p.data, Absent)]
        if not shown:
            continue
        frame = shown[0].frame
        labels = project.labels[frame]
        if (labels == tracked.id).any():
            continue
        points = [c for p in shown if p.frame == frame and isinstance(p.data, Clicks) for c in p.data.points if c.positive]
        covering = {names[int(labels[int(c.y), int(c.x)])] for c in points if labels[int(c.y), int(c.x)]}
        why = f"the mask of {', '.join(map(repr, sorted(covering)))} covers its click" if covering else "look at its prompt"
        yield f"{tracked.name!r} has no pixel on frame {frame}, where it was shown: {why}"

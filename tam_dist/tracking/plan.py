"""What a video's prompts ask for, frame by frame.

A plan is a pure function of the prompt log, so that every session of the same video, on whatever process and after whatever
interruption, applies the same prompts at the same frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tam_dist.errors import PromptError
from tam_dist.models.sam.rounds import certain_logits
from tam_dist.tracking.basis import starts
from tam_dist.types import Absent, BoolArray, Box, Clicks, FloatArray, Mask, ObjectQuery, Prompt, TrackedObject


@dataclass(frozen=True, eq=False)
class ObjectPrompts:
    """The prompts for one object on one frame, folded: ``mask`` bool (H, W) is the last whole mask given; ``points`` and
    ``box`` are what came after it. A mask without points or box needs no segmentation model.
    """

    object_id: int
    uuids: tuple[str, ...]
    mask: BoolArray | None
    points: tuple[tuple[float, float, bool], ...]
    box: Box | None

    @property
    def needs_segmentation(self) -> bool:
        return bool(self.points) or self.box is not None

    @property
    def shows_object(self) -> bool:
        """There is more than clicks beside it."""
        return self.mask is not None or self.box is not None or any(positive for _, _, positive in self.points)

    def query(self, predicted_logits: FloatArray | None) -> ObjectQuery:
        """What to ask the segmentation model; ``predicted_logits`` (h, w) is the tracker's own mask of the object, if it has
        one.
        """
        logits = predicted_logits
        if self.mask is not None:
            logits = certain_logits(self.mask)
        box = self.box
        return ObjectQuery(
            object_id=self.object_id,
            points=np.array([(x, y) for x, y, _ in self.points], dtype=np.float32).reshape(-1, 2),
            point_labels=np.array([int(positive) for _, _, positive in self.points], dtype=np.int64),
            box=None if box is None else np.array([box.x0, box.y0, box.x1, box.y1], dtype=np.float32),
            mask_logits=logits,
            corrects=logits is not None and box is None,
        )


class PromptPlan:
    """``prompts`` must be the active ones (none undone); they are applied in (frame, time) order. ``elsewhere``: there may be
    none but absences, as objects come from other segments.

    Raises :class:`PromptError` for a prompt whose object is not among ``objects``.
    """

    def __init__(self, objects: Sequence[TrackedObject], prompts: Sequence[Prompt], *, elsewhere: bool = False) -> None:
        ids = {o.name: o.id for o in objects}
        per_frame: dict[int, dict[int, list[Prompt]]] = defaultdict(lambda: defaultdict(list))
        self._absences: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for prompt in sorted(prompts, key=lambda p: (p.frame, p.time, p.uuid)):
            if prompt.object_name not in ids:
                raise PromptError(f"There is no object {prompt.object_name!r}; there are: {', '.join(ids)}.")
            object_id = ids[prompt.object_name]
            if isinstance(prompt.data, Absent):
                self._absences[object_id].append((prompt.data.first, prompt.data.last))
            else:
                per_frame[prompt.frame][object_id].append(prompt)
        self._frames = {
            frame: tuple(_fold(object_id, given) for object_id, given in sorted(by_object.items()))
            for frame, by_object in per_frame.items()
        }
        if not self._frames and not elsewhere:
            raise PromptError("No object has a click, box or mask; give at least one.")

    @property
    def first_frame(self) -> int:
        """The frame on which the first object appears; nothing is tracked before it."""
        return min(self._frames)

    def begun(self, frame: int) -> bool:
        """Whether there is anything to track in ``frame``."""
        return bool(self._frames) and frame >= self.first_frame

    def at(self, frame: int) -> tuple[ObjectPrompts, ...]:
        """The prompts of a frame, by object id."""
        return self._frames.get(frame, ())

    def absent(self, frame: int) -> frozenset[int]:
        """Ids of the objects that a person declared not to be in the picture."""
        return frozenset(i for i, spans in self._absences.items() if any(a <= frame <= b for a, b in spans))

    def gone_for_good(self, frame: int, frame_count: int) -> frozenset[int]:
        """Ids of the objects declared absent in ``frame`` and every later one, which need not be tracked any more."""
        return frozenset(i for i in self.absent(frame) if self._absent_until(i, frame) >= frame_count - 1)

    def _absent_until(self, object_id: int, frame: int) -> int:
        end = frame
        for first, last in sorted(self._absences[object_id]):
            if first <= end + 1:
                end = max(end, last)
        return end


class BackwardPlan(PromptPlan):
    """What is asked of a pass that goes backwards: each object from its first prompt on towards the video's beginning. Later
    prompts are none of its business.
    """

    def __init__(self, objects: Sequence[TrackedObject], prompts: Sequence[Prompt], *, elsewhere: bool = False) -> None:
        super().__init__(objects, prompts, elsewhere=elsewhere)
        begins = starts(objects, prompts)
        chosen = {f: tuple(p for p in given if begins.get(p.object_id) == f) for f, given in self._frames.items()}
        self._frames = {frame: given for frame, given in chosen.items() if given}

    def begun(self, frame: int) -> bool:
        return bool(self._frames) and frame <= max(self._frames)

    def gone_for_good(self, frame: int, frame_count: int) -> frozenset[int]:  # noqa: ARG002
        """Ids of the objects declared absent in ``frame`` and every earlier one."""
        return frozenset(i for i in self.absent(frame) if self._absent_since(i, frame) <= 0)

    def _absent_since(self, object_id: int, frame: int) -> int:
        begin = frame
        for first, last in sorted(self._absences[object_id], key=lambda span: -span[1]):
            if last >= begin - 1:
                begin = min(begin, first)
        return begin


def _fold(object_id: int, given: Sequence[Prompt]) -> ObjectPrompts:
    mask: BoolArray | None = None
    points: list[tuple[float, float, bool]] = []
    box: Box | None = None
    for prompt in given:
        match prompt.data:
            case Mask():
                mask, points, box = prompt.data.to_array(), [], None
            case Clicks():
                points.extend((c.x, c.y, c.positive) for c in prompt.data.points)
            case Box():
                box = prompt.data
    return ObjectPrompts(object_id, tuple(p.uuid for p in given), mask, tuple(points), box)

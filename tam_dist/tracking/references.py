"""References: frames whose masks a person gave, from which a pass starts that has none of them behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tam_dist.tracking.asked import Asked
from tam_dist.tracking.plan import PromptPlan
from tam_dist.types import FrameChunk, ObjectQuery, Reference, SegmentedMask, UInt8Array

#: Asks the segmentation model about one object in the frame (H, W, 3) of that number.
Ask = Callable[[UInt8Array, int, ObjectQuery], SegmentedMask]


def references_in(asked: Asked, chunk: FrameChunk, prompts: Sequence[str], ask: Ask) -> tuple[Reference, ...]:
    """The frames of ``chunk`` with ``prompts`` (uuids). Clicks and boxes are answered without any tracker's mask, so an object
    that has nothing but clicks beside it has no reference there.
    """
    plan = PromptPlan(asked.objects, [asked.prompts[uuid] for uuid in prompts], elsewhere=True)
    found = []
    for number in range(chunk.start, chunk.stop):
        image = chunk.frames[number - chunk.start]
        masks = []
        for each in plan.at(number):
            if each.object_id in plan.absent(number) or not each.shows_object:
                continue
            if each.needs_segmentation:
                masks.append(ask(image, number, each.query(None)))
            elif each.mask is not None:
                masks.append(SegmentedMask(each.object_id, each.mask, 1.0))
        if masks:
            found.append(Reference(number, image.copy(), tuple(masks)))
    return tuple(found)

"""Several clicks as the rounds they were made in: each is answered in the light of the mask before it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.types import ObjectQuery, SegmentedMask, UInt8Array


def segment_in_rounds(segmenter: SupportsSegment, frame: UInt8Array, query: ObjectQuery, frame_key: Hashable) -> SegmentedMask:
    """Answer a query that has only points by one round a point, each with the logits of the last as mask prompt, which is how
    SAM is trained and how a person who looks at each mask clicks. Other queries are answered at once.

    ``frame`` uint8 (H, W, 3). Rounds begin with the first positive point: nothing is selected before it.
    """
    if query.box is not None or query.mask_logits is not None or not query.point_labels.any():
        return segmenter.segment(frame, [query], frame_key=frame_key)[0]
    answer: SegmentedMask | None = None
    for count in range(int(query.point_labels.argmax()) + 1, len(query.points) + 1):
        asked = replace(
            query,
            points=query.points[:count],
            point_labels=query.point_labels[:count],
            mask_logits=None if answer is None else answer.logits,
        )
        answer = segmenter.segment(frame, [asked], frame_key=frame_key)[0]
    assert answer is not None
    return answer

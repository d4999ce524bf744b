"""What one click makes of a mask that is there.

A click says that the mask is wrong at one spot. How much around it is wrong as well is asked of SAM in two ways, as no one of
them serves all clicks: what a click means depends on whether a part was missed or the whole object, whether the mask ran over
a little or took in a thing of its own.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import cv2
import numpy as np

from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.regions import interior_distance
from tam_dist.types import BoolArray, ObjectQuery, UInt8Array

#: Radius of what a click changes that SAM does not follow, as a share of the frame's short side.
DAB = 0.01
#: A click that adds more than this share of the mask is one on an object that was lost, not one on a part that was missed.
LOST = 0.5
#: A thing that is taken out of the mask as a whole is at most this share of it: more would be the object itself.
LARGEST_THING = 0.7
#: A click means a thing as a whole where it is at least so deep in it, as a share of its greatest depth. Clicks on what ran
#: over lie near the outline of what SAM sees there: at most 0.48 in six of the seven cases, of 64 tracked masks, in which part
#: of the object would have been taken away, 0.81 in one.
DEPTH = 0.6


def clicked(
    segmenter: SupportsSegment,
    frame: UInt8Array,
    asked: ObjectQuery,
    mask: BoolArray,
    done: list[tuple[int, int]],
    frame_key: Hashable,
) -> tuple[BoolArray, float]:
    """``mask`` bool (H, W) after the one click of ``asked``, whose mask prompt it is, and SAM's score; ``done`` are the clicks
    before, as x, y, which stay as they are.

    A mask that is nearly right is looked at closely, as it is: a first look at the whole frame took half a dancer away for a
    click between her legs, and of 104 tracked masks a click made 7 worse by more than 0.03 of IoU; from close by, one.
    """
    (point,) = asked.points
    at = (int(point[0]), int(point[1]))
    found = segmenter.segment(frame, [asked], frame_key=frame_key)[0]
    changed = changed_at(mask, found.mask, at, done)
    if asked.point_labels[0]:
        # Where the object was lost it is looked for in the whole frame: from a scrap of it one click brought back 0.71 in
        # place of 0.43.
        afresh = segmenter.segment(frame, [replace(asked, corrects=False)], frame_key=frame_key)[0]
        wider = changed_at(mask, afresh.mask, at, done)
        lost = max(int(changed.sum()), int(wider.sum())) > (1 + LOST) * int(mask.sum())
        return (wider, afresh.score) if lost else (changed, found.score)
    # The thing that was clicked on: with a camel beside the camel in the mask, the mask as prompt made SAM punch holes into it.
    # From masks of two people or pigs, one click on the second left 0.88 in place of 0.60.
    thing = segmenter.segment(frame, [ObjectQuery(asked.object_id, asked.points, np.array([1]))], frame_key=frame_key)[0]
    without = changed_at(mask, mask & ~thing.mask, at, done)
    taken = mask & ~without
    whole = int((mask & ~changed).sum()) < int(taken.sum()) <= LARGEST_THING * int(mask.sum())
    return (without, thing.score) if whole and _depth(taken, at) >= DEPTH else (changed, found.score)


def changed_at(mask: BoolArray, answer: BoolArray, at: tuple[int, int], kept: list[tuple[int, int]]) -> BoolArray:
    """``mask`` bool (H, W) with what the click ``at`` x, y changes: the connected part of the difference to the ``answer``
    that it lies in (the progressive merge of FocalClick, CVPR 2022). Where SAM does not follow the click, or would change what
    was clicked before (``kept``), a dab around it.

    >>> before, answer = np.zeros((1, 5), bool), np.array([[True, True, False, True, True]])
    >>> changed_at(before, answer, (1, 0), []).astype(int).tolist()
    [[1, 1, 0, 0, 0]]
    >>> changed_at(before, answer, (1, 0), [(0, 0)]).astype(int).tolist()
    [[0, 1, 1, 0, 0]]
    """
    _, parts = cv2.connectedComponents((mask ^ answer).astype(np.uint8), connectivity=8)
    part = parts[at[1], at[0]]
    if part and all(parts[y, x] != part for x, y in kept):
        return np.where(parts == part, answer, mask)
    dab = np.zeros(mask.shape, np.uint8)
    cv2.circle(dab, at, max(1, int(DAB * min(mask.shape))), 1, thickness=-1)
    for x, y in kept:
        dab[y, x] = 0
    return np.where(dab > 0, not mask[at[1], at[0]], mask)


def _depth(region: BoolArray, at: tuple[int, int]) -> float:
    """How deep in ``region`` a pixel of it lies, 0..1: 1 is as deep as any."""
    distance = interior_distance(region)
    return float(distance[at[1], at[0]] / distance.max())

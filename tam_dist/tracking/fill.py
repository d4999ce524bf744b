"""What a backward pass finds, brought together with what is stored of the same chunk.

Before an object's first prompt in a segment the forward pass has no mask of it, or one tracked from references elsewhere in
the video, so what comes from the prompt is filled in (:func:`filled`).
Between a prompt and a later correction of the same object both passes have one, and the two are fused (:func:`fused`): in each
frame the mask is taken whose score, weighed by how near its own prompt is, is better (after MiVOS, Cheng et al. 2021, which
weighs probabilities by distance).

Where an object that is brought in claims a pixel that another one has, who has it keeps it, unless the new one's mask is
clearly better there, by both masks' scores. A mask that a person gave keeps all its pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tam_dist.types import BoolArray, ChunkResult, FloatArray, Fusion, LabelArray, Origin, UInt8Array

#: By so much a score must be above another one's for a pixel to change hands. Scores say how good a mask is, and doubtful
#: ones err by about as much.
CLEARLY = 0.2
#: Stands for the score of a mask that has none.
_DOUBTFUL = 0.5

_GIVEN = (Origin.PROMPTED, Origin.CORRECTED)


def filled(stored: ChunkResult, found: ChunkResult) -> ChunkResult:
    """``stored`` with the objects that ``found`` tracks, frame by frame, but where a person said what there is; ``found``'s
    basis.

    A function of the two alone. Both are of the same chunk and of the same objects.
    """
    said = np.isin(stored.origin, _GIVEN) | _declared_absent(stored)
    return _brought_in(stored, found, ~said & (found.origin != Origin.UNTRACKED))


def fused(stored: ChunkResult, found: ChunkResult, fusion: Fusion) -> ChunkResult:
    """``stored`` with ``found``'s masks of the objects of ``fusion`` where these are the better ones; ``found``'s basis.

    Only frames between an object's mark and its correction change, and not where a person said that the object is absent.
    """
    frames = np.arange(stored.start, stored.start + len(stored.labels))
    better = np.zeros(stored.origin.shape, bool)
    for object_id, since in fusion.since.items():
        column = object_id - 1
        near = np.clip((frames - since) / (fusion.anchor - since), 0, 1).astype(np.float32)
        ours, theirs = _scores(stored, column) * (1 - near), _scores(found, column) * near
        open_ = (frames > since) & (frames < fusion.anchor) & _of_trackers(stored, column) & _of_trackers(found, column)
        better[:, column] = open_ & (theirs > ours)
    return _brought_in(stored, found, better)


def _scores(result: ChunkResult, column: int) -> FloatArray:
    scores: FloatArray = np.nan_to_num(result.quality[:, column], nan=_DOUBTFUL)
    return scores


def _of_trackers(result: ChunkResult, column: int) -> BoolArray:
    """bool (n,): the frames in which what there is of an object was tracked, not said by a person."""
    of_trackers: BoolArray = ~np.isin(result.origin, (*_GIVEN, Origin.UNTRACKED)) & ~_declared_absent(result)
    return of_trackers[:, column]


def _declared_absent(result: ChunkResult) -> BoolArray:
    """bool (n, K): where a person said that an object is not in the picture."""
    declared: BoolArray = (result.origin == Origin.ABSENT) & np.isnan(result.quality)
    return declared


def _brought_in(stored: ChunkResult, found: ChunkResult, which: BoolArray) -> ChunkResult:
    """``which``: bool (n, K), the objects whose masks come from ``found``, frame by frame."""
    labels, quality, origin = stored.labels.copy(), stored.quality.copy(), stored.origin.copy()
    for offset in np.flatnonzero(which.any(1)):
        ids = np.flatnonzero(which[offset]) + 1
        labels[offset][np.isin(labels[offset], ids)] = 0
        claims = np.where(np.isin(found.labels[offset], ids), found.labels[offset], 0)
        yields = _yields(stored.quality[offset], stored.origin[offset], found.quality[offset])
        taken = (claims > 0) & yields[labels[offset], claims]
        labels[offset][taken] = claims[taken]
    quality[which], origin[which] = found.quality[which], found.origin[which]
    prompts = tuple(dict.fromkeys((*stored.prompts, *found.prompts)))
    masks = replace(stored, labels=labels, quality=quality, origin=origin)
    return replace(masks, prompts=prompts, basis=found.basis, edition=found.edition, layer=found.layer, fusion=None)


def _yields(owned: FloatArray, origin: UInt8Array, claimed: FloatArray) -> BoolArray:
    """bool (K + 1, K + 1): whether a pixel of label i goes over to label j. Background always does."""
    yields: BoolArray = np.ones((len(owned) + 1, len(owned) + 1), bool)
    with np.errstate(invalid="ignore"):
        yields[1:, 1:] = claimed[None, :] > owned[:, None] + CLEARLY
    yields[1:][np.isin(origin, _GIVEN)] = False
    return yields


def of_stored(
    labels: LabelArray, quality: FloatArray, origin: UInt8Array, like: ChunkResult, prompts: tuple[str, ...]
) -> ChunkResult:
    """What is stored of the chunk of ``like``, as a result; objects that ``like`` does not know are of later prompts."""
    columns = like.quality.shape[1]
    return replace(like, labels=labels, quality=quality[:, :columns], origin=origin[:, :columns], prompts=prompts)

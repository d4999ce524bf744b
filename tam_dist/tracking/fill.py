"""What a backward pass finds, filled into what the forward pass stored of the same chunk.

Each object is tracked forwards from its first prompt on and backwards before it, so in a frame only one of the two has a mask
of it. Where a filled-in object claims a pixel that another one has, who has it keeps it, unless the new one's mask is clearly
better there, by both masks' scores. A mask that a person gave keeps all its pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tam_dist.types import BoolArray, ChunkResult, FloatArray, LabelArray, Origin, UInt8Array

#: By so much a score must be above another one's for a pixel to change hands. Scores say how good a mask is, and doubtful
#: ones err by about as much.
CLEARLY = 0.2

_GIVEN = (Origin.PROMPTED, Origin.CORRECTED)


def filled(stored: ChunkResult, found: ChunkResult) -> ChunkResult:
    """``stored`` with the objects that it does not track and ``found`` does, frame by frame; ``found``'s basis.

    A function of the two alone. Both are of the same chunk and of the same objects.
    """
    labels, quality, origin = stored.labels.copy(), stored.quality.copy(), stored.origin.copy()
    new = (stored.origin == Origin.UNTRACKED) & (found.origin != Origin.UNTRACKED)
    for offset in np.flatnonzero(new.any(1)):
        ids = np.flatnonzero(new[offset]) + 1
        claims = np.where(np.isin(found.labels[offset], ids), found.labels[offset], 0)
        yields = _yields(stored.quality[offset], stored.origin[offset], found.quality[offset])
        taken = (claims > 0) & yields[labels[offset], claims]
        labels[offset][taken] = claims[taken]
    quality[new], origin[new] = found.quality[new], found.origin[new]
    prompts = tuple(dict.fromkeys((*stored.prompts, *found.prompts)))
    return replace(stored, labels=labels, quality=quality, origin=origin, prompts=prompts, basis=found.basis)


def _yields(owned: FloatArray, origin: UInt8Array, claimed: FloatArray) -> BoolArray:
    """bool (K + 1, K + 1): whether a pixel of label i goes over to label j. Background always does."""
    yields: BoolArray = np.ones((len(owned) + 1, len(owned) + 1), bool)
    with np.errstate(invalid="ignore"):
        yields[1:, 1:] = claimed[None, :] > owned[:, None] + CLEARLY
    yields[1:][np.isin(origin, _GIVEN)] = False
    return yields


def of_stored(labels: LabelArray, quality: FloatArray, origin: UInt8Array, like: ChunkResult) -> ChunkResult:
    """What is stored of the chunk of ``like``, as a result; objects that ``like`` does not know are of later prompts."""
    columns = like.quality.shape[1]
    return replace(like, labels=labels, quality=quality[:, :columns], origin=origin[:, :columns])

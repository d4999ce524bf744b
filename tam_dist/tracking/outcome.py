"""What becomes of a frame: label map, scores and origins, collected for the chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tam_dist.tracking.resampling import label_map
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import (
    FloatArray,
    LabelArray,
    Origin,
    SegmentedMask,
    UInt8Array,
)


@dataclass(frozen=True, eq=False)
class FrameMasks:
    """``labels`` (H, W), ``quality`` float32 (K,), ``origin`` uint8 (K,)."""

    labels: LabelArray
    quality: FloatArray
    origin: UInt8Array

    @classmethod
    def empty(cls, spec: SessionSpec, declared: frozenset[int]) -> FrameMasks:
        """Nothing is tracked; ``declared``: objects that a person said are not there."""
        origin = np.full(len(spec.objects), Origin.UNTRACKED, np.uint8)
        for object_id in declared:
            origin[object_id - 1] = Origin.ABSENT
        labels = np.zeros((spec.height, spec.width), spec.label_dtype)
        return cls(labels, np.full(len(spec.objects), np.nan, np.float32), origin)

    @classmethod
    def of(
        cls,
        spec: SessionSpec,
        probabilities: Tensor,
        ids: Sequence[int],
        quality: Mapping[int, float],
        given: Mapping[int, SegmentedMask],
        refined: Mapping[int, SegmentedMask],
        absent: frozenset[int],
        declared: frozenset[int],
    ) -> FrameMasks:
        """``probabilities`` (n+1, h, w) of ``ids``; ``given`` by a person, ``refined`` by SAM, the others propagated.

        Those masks are stored as they are, not as they survive resampling. An object that seems ``absent`` has the score of
        that being right; one ``declared`` absent has none.
        """
        found = cls.empty(spec, declared)
        labels = label_map(probabilities, ids, (spec.height, spec.width), spec.label_dtype)
        for object_id in ids:
            if object_id in declared and object_id not in given:
                continue
            score, origin = quality.get(object_id, np.nan), Origin.PROPAGATED
            if object_id in given:
                score, origin = given[object_id].score, Origin.PROMPTED
            elif object_id in refined:
                score, origin = refined[object_id].score, Origin.REFINED
            elif object_id in absent:
                origin = Origin.ABSENT
            found.quality[object_id - 1], found.origin[object_id - 1] = score, origin
        for object_id, answer in (*refined.items(), *given.items()):
            labels[labels == object_id] = 0
            labels[answer.mask] = object_id
        return cls(labels, found.quality, found.origin)

"""What becomes of a frame: label map, scores and origins, collected for the chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from tam_dist.tracking.resampling import label_map
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import (
    Absent,
    ChunkResult,
    FloatArray,
    FrameChunk,
    LabelArray,
    Mask,
    Origin,
    Prompt,
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


@dataclass(frozen=True, eq=False)
class ChunkMasks:
    """A chunk's masks so far; frames never put are untracked."""

    index: int
    start: int
    labels: LabelArray
    quality: FloatArray
    origin: UInt8Array
    applied: list[str] = field(default_factory=list)

    @classmethod
    def blank(cls, spec: SessionSpec, chunk: FrameChunk) -> ChunkMasks:
        count, objects = len(chunk.frames), len(spec.objects)
        return cls(
            chunk.index,
            chunk.start,
            np.zeros((count, spec.height, spec.width), spec.label_dtype),
            np.full((count, objects), np.nan, np.float32),
            np.full((count, objects), Origin.UNTRACKED, np.uint8),
        )

    def put(self, number: int, frame: FrameMasks) -> None:
        """Frame ``number`` of the video; a frame put twice keeps the later masks."""
        offset = number - self.start
        self.labels[offset], self.quality[offset], self.origin[offset] = frame.labels, frame.quality, frame.origin

    def keep(self, lock: Prompt, object_id: int) -> None:
        """Give an object in the frame of ``lock`` the mask that this says it has there, whatever was tracked."""
        offset = lock.frame - self.start
        self.labels[offset][self.labels[offset] == object_id] = 0
        if isinstance(lock.data, Mask):
            self.labels[offset][lock.data.to_array()] = object_id
        absent = isinstance(lock.data, Absent)
        self.origin[offset, object_id - 1] = Origin.ABSENT if absent else Origin.PROMPTED
        self.quality[offset, object_id - 1] = np.nan if absent else 1.0

    def result(self) -> ChunkResult:
        return ChunkResult(self.index, self.start, self.labels, self.quality, self.origin, tuple(self.applied))

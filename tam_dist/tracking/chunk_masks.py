"""A chunk's masks while they are being made, or changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import Absent, ChunkResult, FloatArray, FrameChunk, LabelArray, Mask, Origin, Prompt, UInt8Array

if TYPE_CHECKING:
    from tam_dist.tracking.outcome import FrameMasks  # which needs torch; who locks frames does not


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

    @classmethod
    def of_stored(cls, chunk: int, start: int, labels: LabelArray, quality: FloatArray, origin: UInt8Array) -> ChunkMasks:
        """Those of a ``chunk`` that was tracked, to be changed."""
        return cls(chunk, start, labels.copy(), quality.copy(), origin.copy())

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

"""What a tracking session depends on besides the frames and the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tam_dist.config import PropagationConfig, RefinementConfig, refinement_off
from tam_dist.types import Prompt, TrackedObject

#: Above this many objects label maps are uint16 (255 is DAVIS's void label).
MAX_UINT8_OBJECTS = 254


@dataclass(frozen=True)
class SessionSpec:
    """``width`` and ``height`` in pixels of the source; ``prompts`` are the active ones (none undone)."""

    width: int
    height: int
    frame_count: int
    chunk_size: int
    objects: tuple[TrackedObject, ...]
    prompts: tuple[Prompt, ...]
    propagation: PropagationConfig
    refinement: RefinementConfig = field(default_factory=refinement_off)

    @property
    def chunk_count(self) -> int:
        return -(-self.frame_count // self.chunk_size)

    @property
    def label_dtype(self) -> np.dtype:
        return label_dtype(len(self.objects))


def label_dtype(object_count: int) -> np.dtype:
    """The type of the label maps.

    >>> label_dtype(3)
    dtype('uint8')
    """
    return np.dtype(np.uint8 if object_count <= MAX_UINT8_OBJECTS else np.uint16)

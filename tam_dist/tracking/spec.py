"""What a tracking session depends on besides the frames and the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tam_dist.config import PropagationConfig, RefinementConfig, refinement_off
from tam_dist.types import Prompt, TrackedObject, chunk_count

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
        return chunk_count(self.frame_count, self.chunk_size)

    @property
    def label_dtype(self) -> np.dtype:
        return label_dtype(len(self.objects))


def label_dtype(object_count: int) -> np.dtype:
    """The type of the label maps.

    >>> label_dtype(3)
    dtype('uint8')
    """
    return np.dtype(np.uint8 if object_count <= MAX_UINT8_OBJECTS else np.uint16)


def propagation_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(h, w) with the short side at most ``short_side``; small videos are not enlarged.

    >>> propagation_size(1080, 1920, 480)
    (480, 853)
    >>> propagation_size(96, 160, 480)
    (96, 160)
    """
    shorter = min(height, width)
    if shorter <= short_side:
        return height, width
    return int(height / shorter * short_side), int(width / shorter * short_side)

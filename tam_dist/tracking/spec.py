"""What a tracking session depends on besides the frames and the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tam_dist.config import PropagationConfig, RefinementConfig, refinement_off
from tam_dist.tracking.basis import PromptDigests, fill_digest, starts
from tam_dist.tracking.passes import Direction, Pass
from tam_dist.types import Basis, Prompt, TrackedObject, chunk_count

#: Above this many objects label maps are uint16 (255 is DAVIS's void label).
MAX_UINT8_OBJECTS = 254


@dataclass(frozen=True)
class VideoGrid:
    """A video's size and the grid of its chunks: all that scheduling needs to know. ``width`` and ``height`` in pixels of the
    source.
    """

    width: int
    height: int
    frame_count: int
    chunk_size: int

    @property
    def chunk_count(self) -> int:
        return chunk_count(self.frame_count, self.chunk_size)

    def stop_of(self, chunk: int) -> int:
        """The frame behind the chunk's last."""
        return min((chunk + 1) * self.chunk_size, self.frame_count)


@dataclass(frozen=True)
class SessionSpec(VideoGrid):
    """``prompts`` are those in force (none undone). ``direction``: "forward", or "both", with a backward pass before objects'
    first prompts. ``weights`` and ``settings`` are digests of all else that decides the
    masks; they are recorded, and influence nothing.
    """

    objects: tuple[TrackedObject, ...]
    prompts: tuple[Prompt, ...]
    propagation: PropagationConfig
    refinement: RefinementConfig = field(default_factory=refinement_off)
    weights: str = ""
    settings: str = ""
    direction: str = "forward"

    @property
    def label_dtype(self) -> np.dtype:
        return label_dtype(len(self.objects))

    def basis(self, chunk: int) -> Basis:
        """What the masks of ``chunk`` are made from in a session of this spec."""
        fill = self._fill_digest if chunk < self._filled_chunks else ""
        return Basis(self._prompt_digests.before(self.stop_of(chunk)), self.weights, self.settings, fill)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """All that the video's work consists of."""
        whole = Pass(0, self.chunk_count)
        return (whole, Pass(0, self._filled_chunks, Direction.BACKWARD)) if self._filled_chunks else (whole,)

    @cached_property
    def _filled_chunks(self) -> int:
        """So many, from the first, are there up to the one in which the last object begins; 0 where nothing is to be filled."""
        last = max(starts(self.objects, self.prompts).values(), default=0) if self.direction == "both" else 0
        return last // self.chunk_size + 1 if last else 0

    @cached_property
    def _fill_digest(self) -> str:
        return fill_digest(self.objects, self.prompts)

    @cached_property
    def _prompt_digests(self) -> PromptDigests:
        return PromptDigests(self.objects, self.prompts, self.frame_count)


@dataclass(frozen=True)
class SessionStart:
    """What a session is opened from: the spec, the state to go on from (None: from the pass's first frame), and the pass (None:
    forwards over the whole video).
    """

    spec: SessionSpec
    checkpoint: bytes | None = None
    over: Pass | None = None


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

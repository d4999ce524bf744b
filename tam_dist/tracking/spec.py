"""What a tracking session depends on besides the frames and the weights."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from tam_dist.config import PropagationConfig, RefinementConfig, refinement_off
from tam_dist.tracking.basis import PromptDigests, fill_digest, starts
from tam_dist.tracking.passes import Direction, Pass
from tam_dist.types import Absent, Basis, Prompt, TrackedObject, chunk_count

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
class _Segment:
    """Chunks ``first`` to ``stop``, with the prompts given there (and all absences), and where objects begin by these; chunks
    up to ``fill_stop`` are completed by a backward pass.
    """

    first: int
    stop: int
    prompts: tuple[Prompt, ...]
    starts: Mapping[int, int]
    fill_stop: int
    fill_digest: str


@dataclass(frozen=True)
class SessionSpec(VideoGrid):
    """``prompts`` are those in force (none undone). ``direction``: "forward", or "both", with a backward pass before objects'
    first prompts. ``borders``: the chunks with which segments begin. ``weights`` and ``settings`` are digests of all else
    that decides the masks; they are recorded, and influence nothing. ``cuts``: the frames that begin a shot, where all of
    them are known before tracking; else chunks come with theirs.
    """

    objects: tuple[TrackedObject, ...]
    prompts: tuple[Prompt, ...]
    propagation: PropagationConfig
    refinement: RefinementConfig = field(default_factory=refinement_off)
    weights: str = ""
    settings: str = ""
    direction: str = "forward"
    borders: tuple[int, ...] = (0,)
    cuts: tuple[int, ...] | None = None

    @property
    def label_dtype(self) -> np.dtype:
        return label_dtype(len(self.objects))

    @property
    def asks_at_cuts(self) -> bool:
        """SAM is asked about every object where a new shot begins."""
        return self.refinement.at_cuts and self.refinement.mode != "off"

    @property
    def looks_for_cuts(self) -> bool:
        """Whoever decodes a chunk is to look for cuts."""
        return self.asks_at_cuts and self.cuts is None

    def basis(self, chunk: int) -> Basis:
        """What the masks of ``chunk`` are made from in a session of this spec. Of several segments each depends on all prompts,
        which are references where they are not its own.
        """
        segment = self._segments[bisect_right(self.borders, chunk) - 1]
        fill = segment.fill_digest if chunk < segment.fill_stop else ""
        stop = self.stop_of(chunk) if len(self.borders) == 1 else self.frame_count
        return Basis(self._prompt_digests.before(stop), self.weights, self.settings, fill)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """All that the video's work consists of."""
        forward = [Pass(each.first, each.stop) for each in self._segments]
        fills = [Pass(s.first, s.fill_stop, Direction.BACKWARD) for s in self._segments if s.fill_stop > s.first]
        return (*forward, *fills)

    def prompts_of(self, over: Pass) -> tuple[Prompt, ...]:
        """The prompts that are given on the frames of the pass's segment, and all absences."""
        return self._segment(over).prompts

    def seeded(self, over: Pass) -> frozenset[int]:
        """Ids of the objects that a pass tracks from its first frame on, by references: those with prompts in other segments.
        Where passes go both ways, one with a prompt in the segment itself starts from that.
        """
        if over.backward or len(self.borders) == 1:
            return frozenset()
        own = self._segment(over).starts
        elsewhere = {i for other in self._segments if other.first != over.first for i in other.starts}
        return frozenset(elsewhere - own.keys() if self.direction == "both" else elsewhere)

    def reference_frames(self, over: Pass) -> tuple[int, ...]:
        """The prompted frames that a pass starts from, ascending: of its seeded objects, in other segments, the nearest ones
        where there are more than permanent memory holds.
        """
        seeded, names = self.seeded(over), {o.name: o.id for o in self.objects}
        first, stop = over.first * self.chunk_size, self.stop_of(over.stop - 1)
        frames = {
            p.frame
            for p in self.prompts
            if not isinstance(p.data, Absent) and names[p.object_name] in seeded and not first <= p.frame < stop
        }
        nearest = sorted(frames, key=lambda f: (first - f if f < first else f - stop + 1, f))
        return tuple(sorted(nearest[: self.propagation.max_permanent_frames]))

    def reference_chunks(self, over: Pass) -> tuple[int, ...]:
        """Those that hold the pass's references."""
        return tuple(sorted({frame // self.chunk_size for frame in self.reference_frames(over)}))

    def _segment(self, over: Pass) -> _Segment:
        return self._segments[self.borders.index(over.first)]

    @cached_property
    def _segments(self) -> tuple[_Segment, ...]:
        return tuple(self._segment_of(a, b) for a, b in pairwise((*self.borders, self.chunk_count)))

    def _segment_of(self, first: int, stop: int) -> _Segment:
        frames = range(first * self.chunk_size, self.stop_of(stop - 1))
        prompts = tuple(p for p in self.prompts if isinstance(p.data, Absent) or p.frame in frames)
        begins = starts(self.objects, prompts)
        last = max(begins.values(), default=frames.start) if self.direction == "both" else frames.start
        fill_stop = last // self.chunk_size + 1 if last > frames.start else first
        digest = fill_digest(self.objects, prompts) if fill_stop > first else ""
        return _Segment(first, stop, prompts, begins, fill_stop, digest)

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

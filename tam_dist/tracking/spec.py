"""What a tracking session depends on besides the frames and the weights."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from tam_dist.config import PropagationConfig, RefinementConfig, refinement_off
from tam_dist.tracking.basis import (
    Correction,
    PromptDigests,
    corrections,
    fill_digest,
    learnt_digest,
    locks_digest,
    marks_ahead,
    starts,
)
from tam_dist.tracking.passes import Direction, Pass
from tam_dist.types import Absent, Basis, Fusion, Prompt, TrackedObject, chunk_count

#: A strip is enlarged as far as it becomes no longer than so many short sides.
_WIDEST = 4
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
class ReferenceFrames:
    """Frames of one chunk whose masks passes refer to: by the uuids of the ``prompts`` that count there, absences included."""

    chunk: int
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class _Segment:
    """Chunks ``first`` to ``stop``, with the prompts given there (and all absences), and where objects begin by these; chunks
    up to ``fill_stop`` are completed by a backward pass, and those behind a mark that was corrected, by one for each frame
    with ``corrections``. ``lessons``: the spec's, and the marks that objects are known from before tracking comes by.
    """

    first: int
    stop: int
    prompts: tuple[Prompt, ...]
    starts: Mapping[int, int]
    fill_stop: int
    fill_digest: str
    corrections: tuple[Correction, ...]
    lessons: tuple[tuple[int, Prompt], ...]


@dataclass(frozen=True)
class SessionSpec(VideoGrid):
    """``prompts`` are those in force (none undone); ``lessons`` those that are learnt only with a chunk, as references;
    ``locks`` those of locked frames whose masks stay as they are without entering memory; ``spared`` others that do not count
    but for what is fused up to them or corrected after them. ``known_ahead``: from how many of its marks further on an object
    is known when it begins. ``direction``: "forward", or "both", with backward passes before objects' first prompts and
    corrections. ``borders``: the chunks with which segments begin. ``weights`` and ``settings`` are digests of all else that
    decides the masks; they and the ``edition`` of the track record are recorded, and influence nothing. ``cuts``: the frames
    that begin a shot, where all of them are known before tracking; else chunks come with theirs.
    """

    objects: tuple[TrackedObject, ...]
    prompts: tuple[Prompt, ...]
    propagation: PropagationConfig
    refinement: RefinementConfig = field(default_factory=refinement_off)
    weights: str = ""
    settings: str = ""
    direction: str = "forward"
    known_ahead: int = 0
    borders: tuple[int, ...] = (0,)
    lessons: tuple[tuple[int, Prompt], ...] = ()
    locks: tuple[Prompt, ...] = ()
    spared: tuple[Prompt, ...] = ()
    edition: int = 0
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

    # --- what is tracked -----------------------------------------------------------------------------------------------

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """All that the video's work consists of; where several cover a chunk, in the order in which its masks are made."""
        forward = [Pass(each.first, each.stop) for each in self._segments]
        return (*forward, *(p for each in self._segments for p in self._backward_passes(each)))

    def _backward_passes(self, segment: _Segment) -> list[Pass]:
        """The one that fills in first, then corrections in the order in which they were made."""
        found = []
        if segment.fill_stop > segment.first:
            found.append(Pass(segment.first, segment.fill_stop, Direction.BACKWARD))
        for each in segment.corrections:
            span = self._span(each)
            found.append(Pass(span.start, span.stop, Direction.BACKWARD, anchor=each.frame))
        return found

    def _span(self, correction: Correction) -> range:
        """The chunks between what was corrected and the marks before it, both included."""
        return range(min(correction.since.values()) // self.chunk_size, correction.frame // self.chunk_size + 1)

    def passes_at(self, chunk: int) -> tuple[Pass, ...]:
        """Those of the segment that holds ``chunk``, in the order in which its masks are made."""
        segment = self._segment_at(chunk)
        return (Pass(segment.first, segment.stop), *self._backward_passes(segment))

    def layers(self, chunk: int) -> tuple[Pass, ...]:
        """The passes that make a chunk's masks, in that order."""
        return tuple(each for each in self.passes_at(chunk) if each.first <= chunk < each.stop)

    def layer(self, over: Pass, chunk: int) -> int:
        """Which of :meth:`layers` a pass makes, that may cover a part of the segment only."""
        return [(each.direction, each.anchor) for each in self.layers(chunk)].index((over.direction, over.anchor))

    # --- what masks are made from ----------------------------------------------------------------------------------------

    def basis(self, chunk: int) -> Basis:
        """What the masks of ``chunk`` are made from in sessions of this spec. Of several segments each depends on all prompts,
        which are references where they are not its own.
        """
        segment = self._segment_at(chunk)
        fills = [segment.fill_digest] if chunk < segment.fill_stop else []
        fills += [each.digest for each in segment.corrections if chunk in self._span(each)]
        stop = self.stop_of(chunk) if len(self.borders) == 1 else self.frame_count
        prompts = self._prompt_digests.before(stop)
        learnt = [lesson for lesson in segment.lessons if lesson[0] <= chunk]
        if learnt:
            prompts = learnt_digest(prompts, learnt)
        locks = locks_digest([lock for lock in self.locks if lock.frame // self.chunk_size == chunk])
        return Basis(prompts, self.weights, self.settings, "+".join(fills), locks)

    def fusion(self, over: Pass) -> Fusion | None:
        """How the masks of a pass are brought together with those that are there; None where they are stored or filled in."""
        if over.anchor is None:
            return None
        (found,) = (each for each in self._segment(over).corrections if each.frame == over.anchor)
        return Fusion(found.frame, found.since)

    # --- what passes start from ------------------------------------------------------------------------------------------

    def prompts_of(self, over: Pass) -> tuple[Prompt, ...]:
        """The prompts that are given on the frames of the pass's segment, and all absences; of one that starts from a
        correction only this.
        """
        segment = self._segment(over)
        if over.anchor is None:
            return segment.prompts
        ids = {o.name: o.id for o in self.objects}
        corrected = (self.fusion(over) or Fusion(0, {})).since
        return tuple(
            p
            for p in segment.prompts
            if ids[p.object_name] in corrected and (isinstance(p.data, Absent) or p.frame == over.anchor)
        )

    def seeded(self, over: Pass) -> frozenset[int]:
        """Ids of the objects that a pass tracks from its first frame on, by references: those with prompts in other segments.
        One with a prompt in the segment itself too is there before that (or another one takes its place in the picture);
        where passes go both ways, the one back from the prompt has the better masks of it.
        """
        if over.backward or len(self.borders) == 1:
            return frozenset()
        own = self._segment(over)
        return frozenset(i for other in self._segments if other.first != own.first for i in other.starts)

    def starts_of(self, over: Pass) -> Mapping[int, int]:
        """By object id, the frame in the pass's segment where its first prompt there is given."""
        return self._segment(over).starts

    def reference_frames(self, over: Pass) -> tuple[int, ...]:
        """The prompted frames that a pass starts from, ascending: of its seeded objects, in other segments, the nearest ones
        where there are more than permanent memory holds.
        """
        seeded, names = self.seeded(over), {o.name: o.id for o in self.objects}
        own = self._segment(over)
        first, stop = own.first * self.chunk_size, self.stop_of(own.stop - 1)
        frames = {
            p.frame
            for p in self.prompts
            if not isinstance(p.data, Absent) and names[p.object_name] in seeded and not first <= p.frame < stop
        }
        nearest = sorted(frames, key=lambda f: (first - f if f < first else f - stop + 1, f))
        return tuple(sorted(nearest[: self.propagation.max_permanent_frames]))

    def references(self, over: Pass) -> tuple[ReferenceFrames, ...]:
        """What a pass starts from."""
        return self._reference_frames(self.reference_frames(over), self.prompts)

    def lessons_of(self, over: Pass) -> dict[int, tuple[ReferenceFrames, ...]]:
        """What a forward pass learns, by the chunk before which it does."""
        if over.backward:
            return {}
        lessons = self._segment(over).lessons
        chunks = sorted({chunk for chunk, _ in lessons if chunk in over.chunks})
        given = {chunk: [p for at, p in lessons if at == chunk] for chunk in chunks}
        return {
            chunk: self._reference_frames({p.frame for p in given[chunk] if not isinstance(p.data, Absent)}, given[chunk])
            for chunk in chunks
        }

    def taught(self, over: Pass) -> frozenset[int]:
        """Ids of the objects that lessons are about, but for those that begin later in the segment by prompts of its own."""
        ids, own = {o.name: o.id for o in self.objects}, self._segment(over).starts
        return frozenset(ids[p.object_name] for _, p in self.lessons) - own.keys()

    def _reference_frames(self, frames: Iterable[int], prompts: Sequence[Prompt]) -> tuple[ReferenceFrames, ...]:
        chosen, by_chunk = frozenset(frames), dict[int, list[str]]()
        for prompt in sorted(prompts, key=lambda p: (p.frame, p.time, p.uuid)):
            if not isinstance(prompt.data, Absent) and prompt.frame in chosen:
                by_chunk.setdefault(prompt.frame // self.chunk_size, []).append(prompt.uuid)
        for prompt in self.prompts:
            for chunk, uuids in by_chunk.items():
                inside = range(chunk * self.chunk_size, self.stop_of(chunk))
                if isinstance(prompt.data, Absent) and prompt.data.first < inside.stop and prompt.data.last >= inside.start:
                    uuids.append(prompt.uuid)
        return tuple(ReferenceFrames(chunk, tuple(uuids)) for chunk, uuids in sorted(by_chunk.items()))

    # --- segments --------------------------------------------------------------------------------------------------------

    def segment_at(self, chunk: int) -> range:
        """The chunks of the segment that holds ``chunk``."""
        segment = self._segment_at(chunk)
        return range(segment.first, segment.stop)

    def _segment_at(self, chunk: int) -> _Segment:
        return self._segments[bisect_right(self.borders, chunk) - 1]

    def _segment(self, over: Pass) -> _Segment:
        return self._segment_at(over.first)

    @cached_property
    def _segments(self) -> tuple[_Segment, ...]:
        return tuple(self._segment_of(a, b) for a, b in pairwise((*self.borders, self.chunk_count)))

    def _segment_of(self, first: int, stop: int) -> _Segment:
        frames = range(first * self.chunk_size, self.stop_of(stop - 1))
        prompts = tuple(p for p in self.prompts if isinstance(p.data, Absent) or p.frame in frames)
        begins = starts(self.objects, prompts)
        both = self.direction == "both"
        last = max(begins.values(), default=frames.start) if both else frames.start
        fill_stop = last // self.chunk_size + 1 if last > frames.start else first
        digest = fill_digest(self.objects, prompts) if fill_stop > first else ""
        corrected = corrections(self.objects, prompts, (*self.locks, *self.spared), frames) if both else ()
        spared = [p for p in self.spared if p.frame in frames]
        ahead = marks_ahead(self.objects, prompts, spared, self.chunk_size, self.known_ahead)
        return _Segment(first, stop, prompts, begins, fill_stop, digest, corrected, (*ahead, *self.lessons))

    @cached_property
    def _prompt_digests(self) -> PromptDigests:
        return PromptDigests(self.objects, self.prompts, self.frame_count)


@dataclass(frozen=True)
class SessionStart:
    """What a session is opened from: the spec, the state to go on from (None: from the pass's first frame), the pass (None:
    forwards over the whole video), and the prompts where they are not those of the spec (``given``).
    """

    spec: SessionSpec
    checkpoint: bytes | None = None
    over: Pass | None = None
    given: tuple[Prompt, ...] | None = None


def label_dtype(object_count: int) -> np.dtype:
    """The type of the label maps.

    >>> label_dtype(3)
    dtype('uint8')
    """
    return np.dtype(np.uint8 if object_count <= MAX_UINT8_OBJECTS else np.uint16)


def propagation_size(height: int, width: int, short_side: int, *, enlarge: bool) -> tuple[int, int]:
    """(h, w) at which a video of ``height`` x ``width`` is propagated, with the settings of these names: its short side is
    ``short_side``, or its own where that is smaller and is not to ``enlarge``. (Official XMem's evaluation enlarges, too.
    Training clips of 96 lines were tracked with a J of 67 at their own size and 78 at 256.)

    >>> propagation_size(1080, 1920, 480, enlarge=True), propagation_size(96, 160, 480, enlarge=True)
    ((480, 853), (480, 800))
    >>> propagation_size(96, 160, 480, enlarge=False)
    (96, 160)
    """
    shorter, longer = min(height, width), max(height, width)
    if shorter > short_side:  # truncated, as official XMem does
        return int(height / shorter * short_side), int(width / shorter * short_side)
    scale = min(short_side / shorter, _WIDEST * short_side / longer)
    if scale <= 1 or not enlarge:
        return height, width
    return round(height * scale), round(width * scale)

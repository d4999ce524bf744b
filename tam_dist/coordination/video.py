"""One video's place in the schedule: its passes, and what of each is decoded, tracked, being written. Data and the questions
about it; no decisions.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from tam_dist.coordination.calls import Payload, WorkerId
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import VideoGrid


@dataclass(frozen=True)
class VideoJob:
    """A video to be tracked. ``project`` (its location) is its identity; ``reader`` and ``on_damage`` are those the project
    was made with, since others could give other pixels. What is asked for, and what of it is due, the project itself says
    when it is opened.
    """

    project: str
    uri: str
    reader: str
    spec: VideoGrid
    on_damage: str = "hold"


class VideoState(StrEnum):
    """The life of a video in a run; the last four are final."""

    WAITING = "waiting"
    STARTING = "starting"
    TRACKING = "tracking"
    CLOSING = "closing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STOPPED = "stopped"


FINAL = frozenset({VideoState.DONE, VideoState.FAILED, VideoState.CANCELLED, VideoState.STOPPED})


@dataclass
class PassRun:
    """Mutable bookkeeping of one pass; the scheduler alone changes it.

    ``generation`` is that of its session (see :class:`tam_dist.coordination.calls.Call`), 0 before the first; ``opened``: the
    session is there. ``at`` is the position in ``plan.chunks`` of the next one to be tracked, ``saved`` of the one after the
    newest checkpoint, ``end`` of the one after the last that is due; ``done`` are the chunks of which all is stored that the
    pass makes. ``current`` is the chunk with the propagator or waiting for a refiner, ``question`` the step result that the
    refiner is to answer. ``saving``: a snapshot was asked for and is not there yet. ``propagator`` is None while the pass
    waits for a place. ``lane`` tells the decoder which of the video's readers is the pass's own.
    """

    plan: Pass
    generation: int = 0
    opened: bool = False
    saving: bool = False
    propagator: WorkerId | None = None
    decoder: WorkerId | None = None
    lane: int = 0
    at: int = 0
    saved: int = 0
    end: int = 0
    done: set[int] = field(default_factory=set)
    decoding: set[int] = field(default_factory=set)
    decoded: dict[int, Payload] = field(default_factory=dict)
    current: Payload | None = None
    question: Payload | None = None
    writing: dict[int, Payload] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Nothing of the pass is with a propagator or a refiner."""
        return self.current is None

    @property
    def finished(self) -> bool:
        return self.at >= self.end and self.idle and not self.writing

    @property
    def parked(self) -> bool:
        """Nothing is under way and everything is saved."""
        return not self.opened or (self.idle and not self.writing and not self.saving and self.saved >= self.at)

    @property
    def next_chunk(self) -> int:
        chunks = self.plan.chunks
        return chunks[self.at] if self.at < len(chunks) else chunks[-1] + chunks.step

    def start(self, next_chunk: int, done: frozenset[int]) -> None:
        """What the project said: where to go on, and what is stored already."""
        chunks = self.plan.chunks
        self.at = self.saved = (next_chunk - chunks.start) // chunks.step
        self.done = set(done)
        self.end = next((n + 1 for n in reversed(range(len(chunks))) if chunks[n] not in done), 0)

    def chunks_to_decode(self, credit: int) -> list[int]:
        """Chunks to ask the decoder for now, so that at most ``credit`` are decoded or being decoded ahead of the tracker."""
        first = self.at if self.idle else self.at + 1
        wanted = self.plan.chunks[first : min(first + credit, self.end)]
        room = credit - len(self.decoded) - len(self.decoding)
        return [c for c in wanted if c not in self.decoded and c not in self.decoding][: max(room, 0)]

    def begin(self, generation: int) -> None:
        """Forget everything in flight; the session of ``generation`` starts from a checkpoint."""
        self.generation = generation
        self.let_go()
        self.writing.clear()
        self.opened = self.saving = False
        self.propagator = None

    def let_go(self) -> None:
        """Of all frames."""
        self.decoding.clear()
        self.decoded.clear()
        self.current = self.question = None


@dataclass
class VideoRun:
    """Mutable bookkeeping of one life of a video, from its submission to its end; the scheduler alone changes it.

    ``generation`` is that of its calls which are of no pass. Passes are ``waiting`` for a place, or, going backwards, for the
    forward pass over the same chunks (``blocked``, by their first chunk), or ``open`` (by generation). ``place`` is held for
    the first of them while the project is being opened; ``asked`` is what the project then said is asked for (SessionSpec).
    ``committed`` are the chunks whose stored masks are up to date; ``unfilled`` those that a backward pass is still to
    complete. ``references`` are by chunk, ``referring`` those still to be had, ``reading`` those under way, with their frames
    once decoded. ``find_cuts``: decoders are to look for them. ``unscanned`` frames (start, stop) are to be looked through for
    cuts before passes are known, ``scanning`` those under way.
    ``deaths`` counts worker deaths by the chunk they happened on; ``decoders`` are those that may have the video open.
    """

    job: VideoJob
    state: VideoState = VideoState.WAITING
    generation: int = 0
    paused: bool = False
    stopping: bool = False
    place: WorkerId | None = None
    writer: WorkerId | None = None
    decoders: set[WorkerId] = field(default_factory=set)
    asked: Payload | None = None
    references: dict[int, Payload] = field(default_factory=dict)
    referring: list[int] = field(default_factory=list)
    reading: dict[int, Payload] = field(default_factory=dict)
    find_cuts: bool = False
    unscanned: list[tuple[int, int]] = field(default_factory=list)
    scanning: set[tuple[int, int]] = field(default_factory=set)
    waiting: list[PassRun] = field(default_factory=list)
    blocked: dict[int, PassRun] = field(default_factory=dict)
    open: dict[int, PassRun] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    unfilled: set[int] = field(default_factory=set)
    deaths: Counter[int] = field(default_factory=Counter)
    ending: VideoState | None = None
    error: Exception | None = None

    @property
    def propagators(self) -> list[WorkerId]:
        """Those that have a place taken by the video, once for each place."""
        held = [each.propagator for each in self.open.values() if each.propagator is not None]
        return held if self.place is None else [self.place, *held]

    @property
    def writing(self) -> bool:
        return any(each.writing for each in self.open.values())

    @property
    def referred(self) -> bool:
        """All references are there."""
        return not self.referring and not self.reading

    @property
    def all_tracked(self) -> bool:
        return not self.open and not self.waiting and not self.blocked

    def frames_of(self, chunk: int) -> int:
        spec = self.job.spec
        return min(spec.chunk_size, spec.frame_count - chunk * spec.chunk_size)

    def bytes_of(self, chunk: int) -> int:
        """Of the chunk's decoded frames, RGB with 8 bits."""
        return self.frames_of(chunk) * self.job.spec.width * self.job.spec.height * 3

    @property
    def frames_done(self) -> int:
        spec = self.job.spec
        short = spec.chunk_size - self.frames_of(spec.chunk_count - 1) if spec.chunk_count - 1 in self.committed else 0
        return len(self.committed) * spec.chunk_size - short

    def plan(self, passes: tuple[Pass, ...], committed: frozenset[int]) -> None:
        """What the project said is due; see :class:`tam_dist.coordination.calls.ProjectReceipt`. The longest passes start
        first, so that the last ones to end are short.
        """
        self.committed = set(committed)
        forward = {each.first for each in passes if not each.backward}
        for each in passes:
            if each.backward:
                self.unfilled.update(each.chunks)
            if each.backward and each.first in forward:
                self.blocked[each.first] = PassRun(each)
            else:
                self._await(PassRun(each))

    def unblock(self, forward: PassRun) -> None:
        """Let the backward pass go that waited for ``forward``, if that has come as far."""
        behind = self.blocked.get(forward.plan.first)
        if behind is not None and forward.done.issuperset(behind.plan.chunks):
            self._await(self.blocked.pop(forward.plan.first))

    def _await(self, each: PassRun) -> None:
        insort(self.waiting, each, key=lambda other: -len(other.plan.chunks))

    def stored(self, each: PassRun, chunk: int) -> bool:
        """Take note that what a pass makes of a chunk is stored. Whether that completes it, for the first time."""
        each.done.add(chunk)
        if each.plan.backward:
            self.unfilled.discard(chunk)
        new = chunk not in self.unfilled and chunk not in self.committed
        if new:
            self.committed.add(chunk)
        return new

    def begin(self, generation: int) -> None:
        """Forget everything in flight, to open the project."""
        self.generation = generation
        self.place = self.asked = None
        self.references.clear()
        self.referring.clear()
        self.reading.clear()
        self.unscanned.clear()
        self.scanning.clear()
        self.waiting.clear()
        self.blocked.clear()
        self.open.clear()
        self.unfilled.clear()
        self.state = VideoState.STARTING

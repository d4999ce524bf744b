"""One video's place in the schedule: its passes, and what of each is decoded, tracked, being written. Data and the questions
about it; no decisions.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from tam_dist.coordination.calls import Lessons, PassReceipt, Payload, UnderWay, WorkerId
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import ReferenceFrames, VideoGrid


@dataclass(frozen=True)
class VideoJob:
    """A video to be tracked. ``project`` (its location) is its identity; ``reader`` and ``on_damage`` are those the project
    was made with, since others could give other pixels. What is asked for, and what of it is due, the project itself says
    when it is opened; ``segments`` is how many of its segments may be tracked at the same time, at most.
    """

    project: str
    uri: str
    reader: str
    spec: VideoGrid
    on_damage: str = "hold"
    segments: int = 1


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
    waits for a place. ``lane`` tells the decoder which of the video's readers is the pass's own. ``lessons`` are what the
    session is still to learn, by the chunk before which it does; ``anew`` the chunks whose stored masks are replaced; ``needs``
    what other passes must have stored before this one can begin; ``asked_at`` the position as of which a replanning judges,
    ``unsent`` the chunks tracked meanwhile.
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
    lessons: dict[int, tuple[ReferenceFrames, ...]] = field(default_factory=dict)
    anew: frozenset[int] = frozenset()
    needs: set[tuple[Pass, int]] = field(default_factory=set)
    asked_at: int = 0
    unsent: list[int] = field(default_factory=list)

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

    def under_way(self) -> UnderWay:
        """How far the session has come, for a replanning."""
        self.asked_at = self.at if self.idle else self.at + 1
        chunks, at = self.plan.chunks, self.asked_at
        under_way = chunks[self.at : at]
        return UnderWay(self.plan, chunks.start + at * chunks.step, frozenset({*self.writing, *under_way}))

    @property
    def held(self) -> bool:
        """The next chunk waits: whether it has to be made at all shows when those before it, made anew or fused, are stored."""
        return bool(self.writing) if self.plan.anchor is not None else not self.anew.isdisjoint(self.writing)

    def start(self, receipt: PassReceipt) -> None:
        """What the project said: where to go on, and what is stored already."""
        chunks = self.plan.chunks
        self.at = self.saved = (receipt.next_chunk - chunks.start) // chunks.step
        self.done = set(receipt.done)
        self.anew = receipt.anew
        self.lessons = {chunk: frames for chunk, frames in receipt.lessons if chunk in chunks[self.at :]}
        wanted = (n + 1 for n in reversed(range(self.plan.skip, len(chunks))) if chunks[n] not in receipt.done)
        self.end = next(wanted, 0)

    def relearn(self, lessons: Lessons) -> None:
        """From where a replanning judged on, these are what is to be learnt."""
        before = self.plan.chunks[: self.asked_at]
        self.lessons = {chunk: frames for chunk, frames in self.lessons.items() if chunk in before} | dict(lessons)

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
        self.unsent.clear()
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

    ``generation`` is that of its calls which are of no pass. Passes are ``waiting`` for a place, or for others that store the
    same chunks before (``blocked``, by what is waited for), or ``open`` (by generation). ``place`` is held for the first of
    them while the project is being opened; ``asked`` is what the project then said is asked for (Asked). ``replanning``: it
    was asked again; ``outdated``: it has to be. ``committed`` are the chunks whose stored masks are up to date; ``left``
    counts the passes that still have to store something of the others. ``wanted`` are all references, ``referring`` those
    still to be had, ``reading`` those under way, by chunk, with their frames once decoded. ``find_cuts``: decoders are to look
    for them.
    ``unscanned`` frames (start, stop) are to be looked through for cuts before passes are known, ``scanning`` those under way.
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
    replanning: bool = False
    outdated: bool = False
    references: dict[ReferenceFrames, Payload] = field(default_factory=dict)
    wanted: frozenset[ReferenceFrames] = frozenset()
    referring: list[ReferenceFrames] = field(default_factory=list)
    reading: dict[int, tuple[ReferenceFrames, Payload]] = field(default_factory=dict)
    find_cuts: bool = False
    unscanned: list[tuple[int, int]] = field(default_factory=list)
    scanning: set[tuple[int, int]] = field(default_factory=set)
    waiting: list[PassRun] = field(default_factory=list)
    blocked: dict[tuple[Pass, int], list[PassRun]] = field(default_factory=dict)
    open: dict[int, PassRun] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    left: Counter[int] = field(default_factory=Counter)
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
    def can_open(self) -> bool:
        """A pass waits for nothing but a place."""
        going_on = self.state is VideoState.TRACKING and not self.replanning and not self.stopping
        return going_on and self.referred and bool(self.waiting)

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
        """What the project said is due; see :class:`tam_dist.coordination.calls.ProjectReceipt`. Passes that are open go on.
        The longest start first, so that the last ones to end are short.
        """
        self.committed = set(committed)
        self.waiting.clear()
        self.blocked.clear()
        self.left.clear()
        under_way = {each.plan: each for each in self.open.values()}
        storing: dict[int, list[Pass]] = {}
        for plan in passes:
            each = under_way.get(plan) or PassRun(plan)
            chunks = plan.kept if plan.anchor is None else (*plan.kept, plan.chunks.start)
            before = {(other, chunk) for chunk in chunks for other in storing.get(chunk, ())} | _nearer(plan, passes)
            each.needs = {
                (other, chunk) for other, chunk in before if other not in under_way or chunk not in under_way[other].done
            }
            if plan not in under_way:
                for need in each.needs:
                    self.blocked.setdefault(need, []).append(each)
                if not each.needs:
                    self._await(each)
            for chunk in plan.kept:
                storing.setdefault(chunk, []).append(plan)
                self.left[chunk] += chunk not in each.done

    def _await(self, each: PassRun) -> None:
        insort(self.waiting, each, key=lambda other: -len(other.plan.chunks))

    def stored(self, each: PassRun, chunk: int) -> bool:
        """Take note that what a pass makes of a chunk is stored. Whether that completes it, for the first time."""
        if chunk not in each.plan.kept:
            return False
        for other in self.blocked.pop((each.plan, chunk), []):
            other.needs.discard((each.plan, chunk))
            if not other.needs:
                self._await(other)
        if chunk not in each.done:
            each.done.add(chunk)
            self.left[chunk] -= 1
        new = self.left[chunk] <= 0 and chunk not in self.committed
        if new:
            self.committed.add(chunk)
        return new

    def started(self, each: PassRun, receipt: PassReceipt) -> None:
        """A pass has its session; what it had stored before counts."""
        before = set(each.done)
        each.start(receipt)
        found, each.done = each.done, before
        for chunk in found:
            self.stored(each, chunk)
        each.done = found

    def begin(self, generation: int) -> None:
        """Forget everything in flight, to open the project."""
        self.generation = generation
        self.place = self.asked = None
        self.replanning = self.outdated = False
        self.references.clear()
        self.referring.clear()
        self.reading.clear()
        self.unscanned.clear()
        self.scanning.clear()
        self.waiting.clear()
        self.blocked.clear()
        self.open.clear()
        self.left.clear()
        self.state = VideoState.STARTING


def _nearer(plan: Pass, passes: tuple[Pass, ...]) -> set[tuple[Pass, int]]:
    """What a pass back from a correction waits for: that the one from there over the stretch in front of its own has not found
    the masks to be as they were. (Side by side, the far one rewrote what the near one then had put back.)
    """
    if plan.anchor is None:
        return set()
    return {(p, p.kept[-1]) for p in passes if p.backward and p.anchor == plan.anchor and p.first > plan.first}

"""What the scheduler asks of workers, what they answer, and what it expects of them and of an executor.

The scheduler moves references, never pixels: a call is a few numbers and names; frames, masks and checkpoints travel beside
it as payloads that only workers look into. An answer is a small receipt (which the scheduler reads) and at most one payload
(which it only passes on). Executors decide what a payload is: the object itself inline, an object reference on Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import ReferenceFrames
from tam_dist.types import ShotScan

#: By chunk, what a pass learns before it.
Lessons = tuple[tuple[int, tuple[ReferenceFrames, ...]], ...]
#: Opaque to the scheduler.
Payload = Any


class Role(StrEnum):
    """A kind of worker."""

    DECODER = "decoder"
    PROPAGATOR = "propagator"
    REFINER = "refiner"
    WRITER = "writer"


@dataclass(frozen=True)
class WorkerId:
    role: Role
    number: int

    def __str__(self) -> str:
        return f"{self.role}-{self.number}"


# --- calls -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """``video`` is the project's location, which is also a video's identity. ``generation`` is its session's (or, of calls that
    belong to no pass, the video's own): a scheduler gives each session that it opens another one, of whatever video, so an
    answer of an earlier session, or of an earlier life of a video that was cancelled and submitted again, is known as stale
    and dropped. (Counted for each life from 0, 300 random schedules of cancelling and submitting again gave 34 wrong chunks.)
    """

    video: str
    generation: int


@dataclass(frozen=True)
class OpenProject(Call):
    """Writer: take the project's lock and see what is to be done. Receipt: :class:`ProjectReceipt`; payload: Asked."""


@dataclass(frozen=True)
class UnderWay:
    """A pass that is under way: ``next_chunk`` is the first that it has not begun, ``unstored`` are those begun that are yet to
    be stored.
    """

    plan: Pass
    next_chunk: int
    unstored: frozenset[int]

    @property
    def begun(self) -> range:
        """In the order of tracking."""
        chunks = self.plan.chunks
        return chunks[: (self.next_chunk - chunks.start) // chunks.step]


@dataclass(frozen=True)
class Replan(Call):
    """Writer: see what is to be done now that more may be asked for (payload: what was asked so far, an Asked). Receipt:
    :class:`ProjectReceipt`; payload: Asked.
    """

    under_way: tuple[UnderWay, ...] = ()


@dataclass(frozen=True)
class OpenPass(Call):
    """Writer: see where a pass goes on (payload: the Asked that the project's opening or the last replanning gave). Receipt:
    :class:`PassReceipt`; payload: SessionStart.
    """

    plan: Pass


@dataclass(frozen=True)
class OpenSession(Call):
    """Propagator: open a session (payloads: the SessionStart that the pass's opening gave, and for each chunk with references
    that it named, what :class:`Refer` gave).
    """


@dataclass(frozen=True)
class Update(Call):
    """Propagator: go on with what is asked now (payload: Asked), which is the same as far as the session of ``plan`` came."""

    plan: Pass


@dataclass(frozen=True)
class Learn(Call):
    """Propagator: take references into the session before its next chunk (payloads: what :class:`Refer` gave)."""


@dataclass(frozen=True)
class Decode(Call):
    """Decoder: one chunk, with the cuts in it where they are to be found. Payload: FrameChunk. Those of one ``lane`` follow on
    each other, so that a reader of its own for each seldom has to jump.
    """

    uri: str
    reader: str
    on_damage: str
    chunk_size: int
    chunk: int
    lane: int = 0
    find_cuts: bool = False


@dataclass(frozen=True)
class Scan(Call):
    """Decoder: look through frames ``start`` to ``stop`` (exclusive) for cuts. Receipt: :class:`ScanReceipt`."""

    uri: str
    reader: str
    on_damage: str
    start: int
    stop: int


@dataclass(frozen=True)
class KeepShots(Call):
    """Writer: keep what a scan found."""

    scan: ShotScan


@dataclass(frozen=True)
class Step(Call):
    """Propagator: track a chunk (payload: FrameChunk). Receipt: :class:`StepReceipt`; payload: StepResult."""

    chunk: int
    snapshot: bool


@dataclass(frozen=True)
class Resume(Call):
    """Propagator: go on with the chunk (payload: the masks asked for). Answers as :class:`Step`."""

    chunk: int
    snapshot: bool


@dataclass(frozen=True)
class Snapshot(Call):
    """Propagator: the state after ``chunk``, which is the last one tracked. Payload: StepResult with a checkpoint alone."""

    chunk: int


@dataclass(frozen=True)
class Segment(Call):
    """Refiner: answer a step's request (payloads: FrameChunk, StepResult). Payload: tuple of SegmentedMask."""

    chunk: int


@dataclass(frozen=True)
class Refer(Call):
    """Refiner: the masks that some prompts of a chunk stand for (payloads: FrameChunk, Asked). Payload: tuple of Reference."""

    frames: ReferenceFrames

    @property
    def chunk(self) -> int:
        return self.frames.chunk


@dataclass(frozen=True)
class Encode(Call):
    """Writer, any: bring a finished chunk's masks into the form in which they are stored (payload: StepResult). Payload:
    EncodedLabels, None where there are no masks.
    """

    chunk: int
    chunk_size: int


@dataclass(frozen=True)
class Write(Call):
    """Writer: commit a finished chunk, keep its checkpoint (payloads: StepResult, with either or both, and what :class:`Encode`
    gave, where it was asked). Masks of a ``backward`` pass are brought together with those stored. Receipt:
    :class:`WriteReceipt`.
    """

    chunk: int
    backward: bool = False


@dataclass(frozen=True)
class CloseSession(Call):
    """Propagator: forget the session of this generation, if it is there."""


@dataclass(frozen=True)
class CloseVideo(Call):
    """Decoder: forget the video's readers."""


@dataclass(frozen=True)
class CloseProject(Call):
    """Writer: record how the video ended, free the lock."""

    state: str
    reason: str | None


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Receipt:
    """``seconds`` the worker was busy."""

    seconds: float


@dataclass(frozen=True)
class ProjectReceipt(Receipt):
    """``passes`` are those that have something due, in the order in which they store what they make of a chunk; ``committed``
    the chunks whose stored masks are what the project asks for now; ``references`` what passes start from. Of a replanning,
    ``going_on`` are the passes under way of which nothing begun is asked for otherwise, each with what it is still to learn.
    ``find_cuts``: tracking needs to be told of cuts.
    ``unscanned``: frames (start, stop) to be looked through for cuts before the passes are known; there are none yet, and the
    project is to be opened again.
    """

    passes: tuple[Pass, ...]
    committed: frozenset[int]
    references: tuple[ReferenceFrames, ...] = ()
    going_on: tuple[tuple[Pass, Lessons], ...] = ()
    find_cuts: bool = False
    unscanned: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ScanReceipt(Receipt):
    found: ShotScan


@dataclass(frozen=True)
class PassReceipt(Receipt):
    """``next_chunk``: the first one to track, after the checkpoint handed out; ``done``: the pass's chunks of which all is
    stored that it makes, ``anew`` those that it replaces; ``references``: what its session is to be given when it is opened,
    ``lessons`` before it tracks a chunk.
    """

    next_chunk: int
    done: frozenset[int]
    references: tuple[ReferenceFrames, ...] = ()
    lessons: Lessons = ()
    anew: frozenset[int] = frozenset()


@dataclass(frozen=True)
class WriteReceipt(Receipt):
    """``settled``: from the next chunk on the stored masks are what is asked for, so the pass need not go on."""

    settled: bool = False


@dataclass(frozen=True)
class StepReceipt(Receipt):
    """``finished``: the chunk is done; otherwise the payload holds a request for the segmentation model."""

    finished: bool


@dataclass(frozen=True, eq=False)
class Completion:
    """The outcome of one submitted call. Either ``error`` is set or ``receipt`` is."""

    worker: WorkerId
    call: Call
    receipt: Receipt | None = None
    payload: Payload = None
    error: Exception | None = None


class Worker(Protocol):
    """Answers calls one at a time. A worker may be replaced by a fresh one at any moment; it keeps nothing that cannot be
    rebuilt.
    """

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        """The call's receipt and payload (None where it has none). Raises :class:`TamDistError` for what is wrong with a
        video.
        """
        ...

    def close(self) -> None: ...


def abandon(worker: Worker | None, generation: int) -> None:
    """Tell a worker, from another thread, not to go on with a session. Only propagators can be told."""
    tell = getattr(worker, "abandon", None)
    if tell is not None:
        tell(generation)


class Executor(Protocol):
    """Runs calls on workers. Calls to one worker run in the order of submission; nothing here blocks but ``wait``.

    A worker that died is replaced by the executor under the same id; every call it held completes with
    :class:`tam_dist.errors.WorkerDiedError`, and later ones reach the replacement, which knows nothing of its predecessor's
    sessions. A call whose payload is lost completes with :class:`tam_dist.errors.PayloadLostError`.
    """

    def workers(self, role: Role) -> Sequence[WorkerId]: ...

    def submit(self, worker: WorkerId, call: Call, *payloads: Payload) -> None: ...

    def abandon(self, worker: WorkerId, generation: int) -> None:
        """Let a propagator end what it is doing for a session as soon as it can, whatever waits before it. The call under way
        then completes with an error. A word to the wise: where it gets lost, nothing but time is.
        """
        ...

    def wait(self, timeout: float | None) -> Sequence[Completion]:
        """At least one completion; or none after ``timeout`` seconds, or where a worker came back."""
        ...

    def close(self) -> None: ...

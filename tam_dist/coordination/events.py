"""What the scheduler tells whoever listens: progress displays, metrics, logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tam_dist.coordination.calls import Role, WorkerId
from tam_dist.tracking.passes import Pass


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class SessionRef:
    """Which session an event is about: that of ``generation``, opened for the pass ``plan``."""

    plan: Pass
    generation: int

    def __str__(self) -> str:
        """
        >>> str(SessionRef(Pass(0, 42), 3))
        'forward 0..41'
        """
        return f"{self.plan.direction} {self.plan.first}..{self.plan.stop - 1}"


@dataclass(frozen=True)
class Waiting(Event):
    """No video has started yet: the run waits for ``what``, as "Ray to start". Told again while it goes on waiting."""

    what: str


@dataclass(frozen=True)
class ShotsScanned(Event):
    """``frames`` of a video that is tracked by its shots have been looked through for them; it starts after all of them."""

    video: str
    frames: int


@dataclass(frozen=True)
class VideoStarted(Event):
    """``committed`` chunks, ``frames_done`` of ``frames`` frames, were there already; tracking goes on at ``next_chunk``. Told
    again after a replay.
    """

    video: str
    committed: int
    next_chunk: int
    frames_done: int
    frames: int
    session: SessionRef | None = None


@dataclass(frozen=True)
class ChunkDecoded(Event):
    """``bytes`` of frames are held for the video from now on, until ``ChunkTracked``, ``VideoReplayed``, ``VideoReplanned`` or
    ``VideoEnded``.
    """

    video: str
    chunk: int
    bytes: int


@dataclass(frozen=True)
class ChunkTracked(Event):
    """The chunk's masks are there and its frames are let go."""

    video: str
    chunk: int
    frames: int


@dataclass(frozen=True)
class ChunkCommitted(Event):
    """``frames_done`` counts from the start of the video; ``new`` is False for a chunk that a replay only repeated."""

    video: str
    chunk: int
    frames: int
    frames_done: int
    new: bool
    session: SessionRef | None = None


@dataclass(frozen=True)
class SegmentationAsked(Event):
    """A frame went to the segmentation model."""

    video: str
    chunk: int


@dataclass(frozen=True)
class CallSubmitted(Event):
    """A call of type ``call`` waits for, or runs on, a worker until the ``CallFinished`` that follows."""

    worker: WorkerId
    call: str


@dataclass(frozen=True)
class CallFinished(Event):
    """A worker was busy for ``seconds`` with a call of type ``call``; 0 where the call failed or was lost with its worker."""

    worker: WorkerId
    call: str
    seconds: float


@dataclass(frozen=True)
class StageLoad:
    """One kind of worker, as of now. ``workers`` counts those used so far; ``busy`` is their busy share 0..1 of the last
    :data:`tam_dist.coordination.stages.WINDOW_SECONDS`; ``queued`` counts the calls that wait behind the ones under way;
    ``seconds`` and ``calls`` are totals.
    """

    role: Role
    workers: int
    busy: float
    queued: int
    seconds: float
    calls: int


@dataclass(frozen=True)
class StagesMeasured(Event):
    """All kinds of workers, in the order of the data flow; see :class:`tam_dist.coordination.stages.StageTeller`.
    ``bytes_in_flight`` are those of decoded frames that are not tracked yet. Totals start again with a new coordinator.
    """

    loads: tuple[StageLoad, ...]
    bytes_in_flight: int


@dataclass(frozen=True)
class WorkerDied(Event):
    """A call was lost with its worker."""

    worker: WorkerId
    video: str


@dataclass(frozen=True)
class VideoReplayed(Event):
    """A video's session goes back to its newest checkpoint; where it is None, the video is opened again."""

    video: str
    chunk: int
    because: Role
    session: SessionRef | None = None


@dataclass(frozen=True)
class VideoReplanned(Event):
    """More is asked for than when the video started: ``frames_done`` are those whose masks are as they are asked for now."""

    video: str
    frames_done: int


@dataclass(frozen=True)
class VideoEnded(Event):
    """``state`` is one of done, failed, cancelled, stopped; ``error`` is set for failed."""

    video: str
    state: str
    error: Exception | None


Listener = Callable[[Event], None]


def all_of(*listeners: Listener) -> Listener:
    """One listener that tells several."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell

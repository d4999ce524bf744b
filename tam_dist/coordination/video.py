"""One video's place in the schedule: what is decoded, tracked, being written. Data and the questions about it; no decisions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from tam_dist.coordination.calls import Payload, WorkerId
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
class VideoRun:
    """Mutable bookkeeping of one life of a video, from its submission to its end; the scheduler alone changes it.

    ``generation`` is that of the session (see :class:`tam_dist.coordination.calls.Call`), 0 before the first.
    ``next_chunk`` is the next one to be tracked, ``saved_chunk`` the one after the newest checkpoint, ``committed`` those
    whose stored masks are up to date, ``end`` the one after the last that was due when the project was opened. ``current``
    is the chunk with the propagator or waiting for a refiner, ``question`` the step result that the refiner is to answer.
    ``saving``: a snapshot was asked for and is not there yet. ``propagator`` is None while the video waits for a place.
    ``deaths`` counts worker deaths by the chunk they happened on.
    """

    job: VideoJob
    state: VideoState = VideoState.WAITING
    generation: int = 0
    paused: bool = False
    stopping: bool = False
    saving: bool = False
    propagator: WorkerId | None = None
    decoder: WorkerId | None = None
    writer: WorkerId | None = None
    next_chunk: int = 0
    saved_chunk: int = 0
    committed: set[int] = field(default_factory=set)
    end: int = 0
    decoding: set[int] = field(default_factory=set)
    decoded: dict[int, Payload] = field(default_factory=dict)
    current: Payload | None = None
    question: Payload | None = None
    writing: dict[int, Payload] = field(default_factory=dict)
    deaths: Counter[int] = field(default_factory=Counter)
    ending: VideoState | None = None
    error: Exception | None = None

    @property
    def idle(self) -> bool:
        """Nothing of the video's chunk is with a propagator or a refiner."""
        return self.current is None

    @property
    def finished(self) -> bool:
        return self.next_chunk >= self.end and self.idle and not self.writing

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

    def opened(self, next_chunk: int, committed: frozenset[int]) -> None:
        """What the project said: where to go on, and which chunks are up to date."""
        self.next_chunk = self.saved_chunk = next_chunk
        self.committed = set(committed)
        chunks = self.job.spec.chunk_count
        self.end = next((c + 1 for c in reversed(range(chunks)) if c not in committed), 0)

    def chunks_to_decode(self, credit: int) -> list[int]:
        """Chunks to ask the decoder for now, so that at most ``credit`` are decoded or being decoded ahead of the tracker."""
        first = self.next_chunk if self.idle else self.next_chunk + 1
        wanted = range(first, min(first + credit, self.end))
        room = credit - len(self.decoded) - len(self.decoding)
        return [c for c in wanted if c not in self.decoded and c not in self.decoding][: max(room, 0)]

    def begin(self, generation: int) -> None:
        """Forget everything in flight; the session of ``generation`` starts from a checkpoint."""
        self.generation = generation
        self.decoding.clear()
        self.decoded.clear()
        self.writing.clear()
        self.current = self.question = None
        self.saving = False
        self.state = VideoState.STARTING

"""Workers that stand in for models, for measuring the orchestration and for testing recovery.

The stand-in tracker's state is a running digest of the frames it saw and the answers it got, and its masks are made of that
digest. So one step on a fresh, wrong or repeated state changes all later masks, as it would with the real tracker, but in a
way that a test sees at once. Time per frame and per answer is slept, and uses no core.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    CloseSession,
    CloseVideo,
    Decode,
    OpenPass,
    OpenProject,
    OpenSession,
    PassReceipt,
    Payload,
    ProjectReceipt,
    Receipt,
    Resume,
    Segment,
    Snapshot,
    Step,
    StepReceipt,
    Write,
    WriteReceipt,
)
from tam_dist.errors import WorkerDiedError
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import SessionSpec, SessionStart
from tam_dist.types import (
    ChunkResult,
    FrameChunk,
    LabelArray,
    ObjectQuery,
    Origin,
    SegmentationRequest,
    SegmentedMask,
    StepResult,
)
from tam_dist.workers.base import Stopwatch, unexpected

_Answers = tuple[tuple[SegmentedMask, ...], ...]
_Track = Generator[SegmentationRequest, _Answers, ChunkResult]


@dataclass(frozen=True)
class Pace:
    """``frame_seconds`` of tracking a frame; every ``ask_every``-th frame (0: none) waits for an answer that takes
    ``answer_seconds``.
    """

    frame_seconds: float = 0.0
    ask_every: int = 0
    answer_seconds: float = 0.0

    def asks(self, frame: int) -> bool:
        return bool(self.ask_every) and frame % self.ask_every == self.ask_every - 1


@dataclass
class _Session:
    spec: SessionSpec
    pace: Pace
    state: bytes = b""
    next_chunk: int = 0
    running: _Track | None = None
    #: Seconds of tracking not slept yet. Below zero after ``time.sleep`` woke late (by 0.5 to 2 ms on a busy machine): a
    #: model's time does not grow with the timer's error, so that is taken off the next call.
    owed: float = 0.0

    def step(self, chunk: FrameChunk) -> StepResult:
        if chunk.index != self.next_chunk or self.running is not None:
            raise RuntimeError(f"step({chunk.index}) while chunk {self.next_chunk} is due or under way")
        self.running = self._track(chunk)
        return self._advance(None)

    def resume(self, answer: _Answers) -> StepResult:
        return self._advance(answer)

    def snapshot(self) -> bytes:
        return self.next_chunk.to_bytes(8, "big") + self.state

    def restore(self, snapshot: bytes) -> None:
        self.next_chunk, self.state = int.from_bytes(snapshot[:8], "big"), snapshot[8:]

    def _advance(self, answer: _Answers | None) -> StepResult:
        if self.running is None:
            raise RuntimeError("resume without a chunk under way")
        began = time.perf_counter()
        try:
            request = next(self.running) if answer is None else self.running.send(answer)
        except StopIteration as finished:
            self.running = None
            self.next_chunk += 1
            return StepResult(chunk=finished.value)
        finally:
            time.sleep(max(0.0, self.owed - (time.perf_counter() - began)))
            self.owed -= time.perf_counter() - began
        return StepResult(requests=(request,))

    def _track(self, chunk: FrameChunk) -> _Track:
        count, objects = len(chunk.frames), len(self.spec.objects)
        labels = np.zeros((count, self.spec.height, self.spec.width), self.spec.label_dtype)
        quality = np.zeros((count, objects), np.float32)
        for offset, frame in enumerate(chunk.frames):
            self.owed += self.pace.frame_seconds
            seen = hashlib.sha256(self.state)
            seen.update(np.ascontiguousarray(frame).tobytes())
            if self.pace.asks(chunk.start + offset):
                query = ObjectQuery(1, np.zeros((1, 2), np.float32), np.ones(1, np.int64))
                ((answer,),) = yield SegmentationRequest(chunk.start + offset, (query,))
                seen.update(np.packbits(answer.mask).tobytes())
            self.state = seen.digest()
            labels[offset] = _pattern(self.state, self.spec)
            quality[offset] = self.state[0] / 255
        origin = np.full((count, objects), Origin.PROPAGATED, np.uint8)
        basis = self.spec.basis(chunk.index)
        return ChunkResult(chunk.index, chunk.start, labels, quality, origin, basis=basis, edition=self.spec.edition)


def _pattern(state: bytes, spec: SessionSpec) -> LabelArray:
    """Stripes (H, W) whose labels are the digest's bytes."""
    stripes = np.frombuffer(state, np.uint8) % (len(spec.objects) + 1)
    return np.resize(stripes, (spec.height, spec.width)).astype(spec.label_dtype)


class StandInPropagator:
    """Answers as :class:`tam_dist.workers.propagator.PropagatorWorker` does."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._sessions: dict[int, _Session] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call:
            case OpenSession():
                start: SessionStart = payloads[0]
                session = self._sessions[call.generation] = _Session(start.spec, self._pace)
                session.next_chunk = 0 if start.over is None else start.over.chunks.start
                if start.checkpoint is not None:
                    session.restore(start.checkpoint)
                return Receipt(watch.seconds), None
            case Step() | Resume():
                session = self._session(call)
                result = session.step(payloads[0]) if isinstance(call, Step) else session.resume(payloads[0])
                if call.snapshot and result.chunk is not None:
                    result = replace(result, checkpoint=session.snapshot())
                return StepReceipt(watch.seconds, finished=result.chunk is not None), result
            case Snapshot():
                return Receipt(watch.seconds), StepResult(checkpoint=self._session(call).snapshot())
            case CloseSession():
                self._sessions.pop(call.generation, None)
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None:
        self._sessions.clear()

    def _session(self, call: Call) -> _Session:
        held = self._sessions.get(call.generation)
        if held is None:
            raise WorkerDiedError(f"The session of {call.video} was lost with its propagator.", running=False)
        return held


class StandInRefiner:
    """Answers with a mask that depends on the frame's pixels."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call, *payloads:
            case Segment(), FrameChunk() as chunk, StepResult(requests=(request,)):
                time.sleep(self._pace.answer_seconds)
                image = chunk.frames[request.frame - chunk.start]
                mask = SegmentedMask(request.queries[0].object_id, image[:, :, 0] > 100, 1.0)
                return Receipt(watch.seconds), ((mask,),)
        raise unexpected(self, call)

    def close(self) -> None: ...


class NullDecoder:
    """Frames of one colour, without a video; ``size`` is (H, W)."""

    def __init__(self, frame_count: int, size: tuple[int, int]) -> None:
        self._frame_count = frame_count
        self._size = size

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call:
            case Decode():
                start = call.chunk * call.chunk_size
                count = min(call.chunk_size, self._frame_count - start)
                frames = np.full((count, *self._size, 3), call.chunk % 256, np.uint8)
                return Receipt(watch.seconds), FrameChunk(call.chunk, start, frames)
            case CloseVideo():
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None: ...


class NullWriter:
    """Takes chunks and forgets them: every project is new, about ``spec``, and tracked in the passes that ``passes`` has for
    its name.
    """

    def __init__(self, spec: SessionSpec, passes: Callable[[str], tuple[Pass, ...]]) -> None:
        self._spec = spec
        self._passes = passes

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call:
            case OpenProject():
                return ProjectReceipt(watch.seconds, self._passes(call.video), frozenset()), self._spec
            case OpenPass():
                start = SessionStart(self._spec, None, call.plan)
                return PassReceipt(watch.seconds, call.plan.chunks.start, frozenset()), start
            case Write():
                return WriteReceipt(watch.seconds), None
            case CloseProject():
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None: ...

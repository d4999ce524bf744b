"""Workers and an executor without models, threads or files, whose failures a test can order.

The propagator's state is a running digest of the chunks it saw. A step on a fresh or wrong state therefore gives another
digest, which is how a test sees what in reality would be a silently wrong mask.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    CloseSession,
    Completion,
    Decode,
    OpenProject,
    OpenSession,
    Payload,
    ProjectReceipt,
    Receipt,
    Resume,
    Role,
    Segment,
    Snapshot,
    Step,
    StepReceipt,
    WorkerId,
    Write,
)
from tam_dist.errors import PayloadLostError, WorkerDiedError


def digest(state: str, chunk: str) -> str:
    return hashlib.sha256(f"{state}/{chunk}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FakeStep:
    """``mask`` of a finished chunk, or None where it waits for the refiner; ``checkpoint`` the state behind it."""

    mask: str | None
    checkpoint: tuple[int, str] | None = None


@dataclass
class FakeStore:
    """A project: it outlives every worker."""

    masks: dict[int, str] = field(default_factory=dict)
    checkpoints: dict[int, str] = field(default_factory=dict)
    state: str = "new"
    reason: str | None = None

    @property
    def first_missing(self) -> int:
        return next(c for c in range(len(self.masks) + 1) if c not in self.masks)

    def newest(self) -> tuple[int, str] | None:
        usable = [c for c in self.checkpoints if c < self.first_missing]
        return (max(usable), self.checkpoints[max(usable)]) if usable else None


class World:
    """What all workers of a simulation share: the stores, and which chunks ask the refiner."""

    def __init__(self, asks: Callable[[str, int], bool] = lambda video, chunk: False) -> None:
        self.stores: dict[str, FakeStore] = {}
        self.asks = asks

    def expected(self, video: str, chunks: int) -> dict[int, str]:
        """The masks of an undisturbed run."""
        state, masks = "", {}
        for chunk in range(chunks):
            frames = f"{video}:{chunk}"
            state = digest(state, frames + ("+sam" if self.asks(video, chunk) else ""))
            masks[chunk] = state
        return masks


class FakeWorker:
    """All roles in one; a fresh one knows nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions: dict[str, tuple[int, int, str]] = {}
        self.waiting: dict[str, str] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        match call:
            case OpenProject():
                store = self.world.stores.setdefault(call.video, FakeStore())
                newest = store.newest()
                behind = 0 if newest is None else newest[0] + 1
                return ProjectReceipt(0.0, behind, frozenset(store.masks)), newest
            case OpenSession():
                chunk, state = (-1, "") if payloads[0] is None else payloads[0]
                self.sessions[call.video] = (call.generation, chunk + 1, state)
                return Receipt(0.0), None
            case Decode():
                return Receipt(0.0), f"{call.video}:{call.chunk}"
            case Step() if self.world.asks(call.video, call.chunk):
                self._held(call)
                self.waiting[call.video] = payloads[0]
                return StepReceipt(0.0, finished=False), FakeStep(None)
            case Step():
                return self._finish(call, payloads[0])
            case Resume():
                self._held(call)
                return self._finish(call, self.waiting.pop(call.video) + payloads[0])
            case Segment():
                assert payloads[1].mask is None
                return Receipt(0.0), "+sam"
            case Snapshot():
                _, _, state = self._held(call)
                return Receipt(0.0), FakeStep(None, (call.chunk, state))
            case Write():
                store, step = self.world.stores[call.video], payloads[0]
                if step.checkpoint is not None:
                    store.checkpoints[step.checkpoint[0]] = step.checkpoint[1]
                if step.mask is not None:
                    assert store.masks.get(call.chunk, step.mask) == step.mask, "a replay gave another mask"
                    store.masks[call.chunk] = step.mask
                return Receipt(0.0), None
            case CloseProject():
                self.world.stores[call.video].state = call.state
                self.world.stores[call.video].reason = call.reason
                return Receipt(0.0), None
            case CloseSession():
                self.sessions.pop(call.video, None)
        return Receipt(0.0), None

    def _held(self, call: Call) -> tuple[int, int, str]:
        held = self.sessions.get(call.video)
        if held is None or held[0] != call.generation:
            raise WorkerDiedError("session lost", running=False)
        return held

    def _finish(self, call: Step | Resume, frames: str) -> tuple[Receipt, Payload]:
        generation, due, state = self._held(call)
        assert call.chunk == due
        state = digest(state, frames)
        self.sessions[call.video] = (generation, due + 1, state)
        checkpoint = (call.chunk, state) if call.snapshot else None
        return StepReceipt(0.0, finished=True), FakeStep(state, checkpoint)


class SimulatedExecutor:
    """Runs one queued call per ``wait``: ``choose`` picks the worker, ``disturb`` may kill it first, or lose the call's
    payloads.

    ``most`` records the largest number of payloads of one kind that a video had in flight.
    """

    def __init__(
        self,
        world: World,
        counts: dict[Role, int],
        choose: Callable[[Sequence[WorkerId]], WorkerId] = lambda busy: busy[0],
        disturb: Callable[[WorkerId, Call], str | None] = lambda worker, call: None,
    ) -> None:
        self.world = world
        self.queues: dict[WorkerId, deque[tuple[Call, tuple[Payload, ...]]]] = {
            WorkerId(role, n): deque() for role, count in counts.items() for n in range(count)
        }
        self.alive = {w: FakeWorker(world) for w in self.queues}
        self.choose = choose
        self.disturb = disturb
        self.log: list[tuple[WorkerId, Call]] = []
        self.errors: dict[tuple[type[Call], str, int], Exception] = {}

    def workers(self, role: Role) -> Sequence[WorkerId]:
        return [w for w in self.queues if w.role is role]

    def submit(self, worker: WorkerId, call: Call, *payloads: Payload) -> None:
        self.queues[worker].append((call, payloads))

    def wait(self, timeout: float | None) -> Sequence[Completion]:
        busy = [w for w, q in self.queues.items() if q]
        assert busy, "the scheduler waits although nothing runs"
        worker = self.choose(busy)
        call, payloads = self.queues[worker].popleft()
        match self.disturb(worker, call):
            case "kill":
                return self._kill(worker, call)
            case "lose" if payloads:
                return [Completion(worker, call, error=PayloadLostError("lost"))]
        self.log.append((worker, call))
        key = (type(call), call.video, getattr(call, "chunk", -1))
        if key in self.errors:
            return [Completion(worker, call, error=self.errors[key])]
        try:
            receipt, payload = self.alive[worker].run(call, *payloads)
        except WorkerDiedError as error:
            return [Completion(worker, call, error=error)]
        return [Completion(worker, call, receipt, payload)]

    def _kill(self, worker: WorkerId, call: Call) -> list[Completion]:
        self.alive[worker] = FakeWorker(self.world)
        lost = [call, *(c for c, _ in self.queues[worker])]
        self.queues[worker].clear()
        return [Completion(worker, c, error=WorkerDiedError("died", running=n == 0)) for n, c in enumerate(lost)]

    def close(self) -> None: ...

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
        self.sessions: dict[int, tuple[int, str]] = {}
        self.waiting: dict[int, str] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        match call:
            case OpenProject():
                store = self.world.stores.setdefault(call.video, FakeStore())
                newest = store.newest()
                next_chunk = 0 if newest is None else newest[0] + 1
                return ProjectReceipt(0.0, next_chunk, frozenset(store.masks)), newest
            case OpenSession():
                chunk, state = (-1, "") if payloads[0] is None else payloads[0]
                self.sessions[call.generation] = (chunk + 1, state)
                return Receipt(0.0), None
            case Decode():
                return Receipt(0.0), f"{call.video}:{call.chunk}"
            case Step() if self.world.asks(call.video, call.chunk):
                self._held(call)
                self.waiting[call.generation] = payloads[0]
                return StepReceipt(0.0, finished=False), FakeStep(None)
            case Step():
                return self._finish(call, payloads[0])
            case Resume():
                self._held(call)
                return self._finish(call, self.waiting.pop(call.generation) + payloads[0])
            case Segment():
                assert payloads[1].mask is None
                return Receipt(0.0), "+sam"
            case Snapshot():
                _, state = self._held(call)
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
                store = self.world.stores.setdefault(call.video, FakeStore())
                store.state, store.reason = call.state, call.reason
                return Receipt(0.0), None
            case CloseSession():
                self.sessions.pop(call.generation, None)
                self.waiting.pop(call.generation, None)
        return Receipt(0.0), None

    def _held(self, call: Call) -> tuple[int, str]:
        held = self.sessions.get(call.generation)
        if held is None:
            raise WorkerDiedError("session lost", running=False)
        return held

    def _finish(self, call: Step | Resume, frames: str) -> tuple[Receipt, Payload]:
        due, state = self._held(call)
        assert call.chunk == due
        state = digest(state, frames)
        self.sessions[call.generation] = (due + 1, state)
        checkpoint = (call.chunk, state) if call.snapshot else None
        return StepReceipt(0.0, finished=True), FakeStep(state, checkpoint)


def undisturbed(worker: WorkerId, call: Call) -> str | None:
    return None


class SimulatedExecutor:
    """Runs one queued call per ``wait``: ``choose`` picks the worker, ``disturb`` says what happens to the call. It may "kill"
    the worker, which is replaced at once, "lose" the worker, which stays away and whose calls come back as lost while others
    of its role are there, lose the call's "payload", or be "slow": the answer arrives later, when ``choose`` wants it.
    """

    def __init__(
        self,
        world: World,
        counts: dict[Role, int],
        choose: Callable[[Sequence[WorkerId]], WorkerId] = lambda busy: busy[0],
        disturb: Callable[[WorkerId, Call], str | None] = undisturbed,
    ) -> None:
        self.world = world
        self.queues: dict[WorkerId, deque[tuple[Call, tuple[Payload, ...]]]] = {
            WorkerId(role, n): deque() for role, count in counts.items() for n in range(count)
        }
        self.alive = {w: FakeWorker(world) for w in self.queues}
        self.away: set[WorkerId] = set()
        self.on_the_way: dict[WorkerId, deque[Completion]] = {w: deque() for w in self.queues}
        self.choose = choose
        self.disturb = disturb
        self.log: list[tuple[WorkerId, Call]] = []
        self.errors: dict[tuple[type[Call], str, int], Exception] = {}

    def workers(self, role: Role) -> Sequence[WorkerId]:
        all_of_role = [w for w in self.queues if w.role is role]
        return [w for w in all_of_role if w not in self.away] or all_of_role

    def submit(self, worker: WorkerId, call: Call, *payloads: Payload) -> None:
        self.queues[worker].append((call, payloads))

    def wait(self, timeout: float | None) -> Sequence[Completion]:
        busy = [w for w, q in self.queues.items() if (q or self.on_the_way[w]) and self._can_answer(w)]
        if not busy and self.away:  # nothing goes on without them
            self.away.clear()
            return []
        assert busy, "the scheduler waits although nothing runs"
        worker = self.choose(busy)
        if self.on_the_way[worker]:
            return [self.on_the_way[worker].popleft()]
        call, payloads = self.queues[worker].popleft()
        if worker in self.away:
            return [Completion(worker, call, error=WorkerDiedError("away", running=False))]
        what = self.disturb(worker, call)
        if what in ("kill", "lose"):
            self.away |= {worker} if what == "lose" else set()
            return self._kill(worker, call)
        if what == "payload" and payloads:
            return [Completion(worker, call, error=PayloadLostError("lost"))]
        self.log.append((worker, call))
        done = self._run(worker, call, payloads)
        if what == "slow":
            self.on_the_way[worker].append(done)
            return []
        return [done]

    def _can_answer(self, worker: WorkerId) -> bool:
        return worker not in self.away or worker not in self.workers(worker.role)

    def _run(self, worker: WorkerId, call: Call, payloads: tuple[Payload, ...]) -> Completion:
        key = (type(call), call.video, getattr(call, "chunk", -1))
        if key in self.errors:
            return Completion(worker, call, error=self.errors[key])
        try:
            receipt, payload = self.alive[worker].run(call, *payloads)
        except WorkerDiedError as error:
            return Completion(worker, call, error=error)
        return Completion(worker, call, receipt, payload)

    def _kill(self, worker: WorkerId, call: Call) -> list[Completion]:
        """Answers that are on their way then don't arrive any more, whatever their calls have done."""
        self.alive[worker] = FakeWorker(self.world)
        lost = [call, *(done.call for done in self.on_the_way[worker]), *(c for c, _ in self.queues[worker])]
        self.queues[worker].clear()
        self.on_the_way[worker].clear()
        return [Completion(worker, c, error=WorkerDiedError("died", running=n == 0)) for n, c in enumerate(lost)]

    def close(self) -> None: ...

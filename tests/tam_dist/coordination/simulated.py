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
    Encode,
    KeepShots,
    OpenPass,
    OpenProject,
    OpenSession,
    PassReceipt,
    Payload,
    ProjectReceipt,
    Receipt,
    Refer,
    Resume,
    Role,
    Scan,
    ScanReceipt,
    Segment,
    Snapshot,
    Step,
    StepReceipt,
    Worker,
    WorkerId,
    Write,
    WriteReceipt,
    abandon,
)
from tam_dist.errors import PayloadLostError, WorkerDiedError
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import ReferenceFrames
from tam_dist.types import ShotScan

#: Chunks by video: what a project knows of it.
LENGTHS: dict[str, int] = {}


def start_of(plan: Pass) -> str:
    """The state before a pass."""
    return f"{plan.direction} from {plan.first}"


def reference(frames: str) -> str:
    return f" refers to {frames}"


def digest(state: str, chunk: str) -> str:
    return hashlib.sha256(f"{state}/{chunk}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FakeStep:
    """``mask`` of a finished chunk, or None where it waits for the refiner; ``checkpoint`` the state behind it."""

    mask: str | None
    checkpoint: str | None = None


@dataclass
class FakeStore:
    """A project: it outlives every worker. ``checkpoints`` by chunk and whether they are of a backward pass. ``masks`` of
    chunks which a backward pass is still to fill are in ``half``.
    """

    masks: dict[int, str] = field(default_factory=dict)
    half: dict[int, str] = field(default_factory=dict)
    checkpoints: dict[tuple[int, bool], str] = field(default_factory=dict)
    scanned: set[tuple[int, int]] = field(default_factory=set)
    state: str = "new"
    reason: str | None = None

    def done(self, plan: Pass) -> frozenset[int]:
        stored = self.masks.keys() if plan.backward else self.masks.keys() | self.half.keys()
        return frozenset(stored & set(plan.chunks))

    def newest(self, plan: Pass) -> tuple[int, str] | None:
        """The chunk after which the newest usable state was taken, and that."""
        done, found = self.done(plan), None
        for chunk in plan.chunks:
            if chunk not in done:
                break
            if (chunk, plan.backward) in self.checkpoints:
                found = (chunk, self.checkpoints[chunk, plan.backward])
        return found


class World:
    """What all workers of a simulation share: the stores, which chunks ask the refiner, the passes of a video that has so
    many chunks, the chunks that a pass refers to, and the stretches to be looked through before passes are known.
    """

    def __init__(
        self,
        asks: Callable[[str, int], bool] = lambda video, chunk: False,
        passes: Callable[[str, int], tuple[Pass, ...]] = lambda video, chunks: (Pass(0, chunks),),
        references: Callable[[str, Pass], tuple[int, ...]] = lambda video, plan: (),
        scans: Callable[[str], tuple[tuple[int, int], ...]] = lambda video: (),
    ) -> None:
        self.stores: dict[str, FakeStore] = {}
        self.asks = asks
        self.passes = passes
        self.references = references
        self.scans = scans

    def plan(self, video: str) -> tuple[Pass, ...]:
        return self.passes(video, LENGTHS[video])

    def unfilled(self, video: str) -> set[int]:
        """The chunks that are whole only after a backward pass."""
        return {chunk for each in self.plan(video) if each.backward for chunk in each.chunks}

    def expected(self, video: str, chunks: int) -> dict[int, str]:
        """The masks of an undisturbed run."""
        masks: dict[int, str] = {}
        for each in sorted(self.passes(video, chunks), key=lambda plan: plan.backward):
            state = start_of(each) + "".join(reference(f"{video}:{c}") for c in self.references(video, each))
            for chunk in each.chunks:
                frames = f"{video}:{chunk}"
                state = digest(state, frames + ("+sam" if self.asks(video, chunk) else ""))
                masks[chunk] = f"{masks[chunk]}|{state}" if each.backward else state
        return masks


class FakeWorker:
    """All roles in one; a fresh one knows nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions: dict[int, tuple[Pass, int, str]] = {}  # pass, next chunk, state
        self.waiting: dict[int, str] = {}

    def close(self) -> None: ...

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        match call:
            case OpenProject():
                store = self.world.stores.setdefault(call.video, FakeStore())
                left = tuple(each for each in self.world.scans(call.video) if each not in store.scanned)
                if left:
                    return ProjectReceipt(0.0, (), frozenset(), unscanned=left), None
                passes = [p for p in self.world.plan(call.video) if not store.masks.keys() >= set(p.chunks)]
                needed = sorted({chunk for p in passes for chunk in self.world.references(call.video, p)})
                wanted = tuple(ReferenceFrames(chunk, ()) for chunk in needed)
                return ProjectReceipt(0.0, tuple(passes), frozenset(store.masks), wanted), "spec"
            case OpenPass():
                assert payloads == ("spec",)
                store, plan = self.world.stores[call.video], call.plan
                newest = store.newest(plan)
                needed = self.world.references(call.video, plan) if newest is None else ()
                chunk, state = newest or (plan.chunks.start - plan.chunks.step, start_of(plan))
                after = chunk + plan.chunks.step
                wanted = tuple(ReferenceFrames(chunk, ()) for chunk in needed)
                return PassReceipt(0.0, after, store.done(plan), wanted), (plan, after, state)
            case OpenSession():
                plan, after, state = payloads[0]
                self.sessions[call.generation] = (plan, after, state + "".join(payloads[1:]))
                return Receipt(0.0), None
            case Refer():
                assert payloads[1] == "spec"
                return Receipt(0.0), reference(payloads[0])
            case Scan():
                return ScanReceipt(0.0, ShotScan(call.start, call.stop, (), None)), None
            case KeepShots():
                self.world.stores[call.video].scanned.add((call.scan.start, call.scan.stop))
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
                return Receipt(0.0), FakeStep(None, self._held(call)[2])
            case Encode():
                return Receipt(0.0), f"encoded {payloads[0].mask}"
            case Write():
                assert payloads[1:] in ((), (f"encoded {payloads[0].mask}",))
                self._write(call, payloads[0])
                return WriteReceipt(0.0), None
            case CloseProject():
                store = self.world.stores.setdefault(call.video, FakeStore())
                store.state, store.reason = call.state, call.reason
                return Receipt(0.0), None
            case CloseSession():
                self.sessions.pop(call.generation, None)
                self.waiting.pop(call.generation, None)
        return Receipt(0.0), None

    def _write(self, call: Write, step: FakeStep) -> None:
        store, chunk = self.world.stores[call.video], call.chunk
        if step.checkpoint is not None:
            store.checkpoints[chunk, call.backward] = step.checkpoint
        if step.mask is None:
            return
        forward, _, filled = store.masks.get(chunk, store.half.get(chunk, "")).partition("|")
        if call.backward:
            assert forward, "there is nothing yet that could be filled"
            assert filled in ("", step.mask), "a replay gave another mask"
            store.masks[chunk] = f"{forward}|{step.mask}"
        else:
            assert forward in ("", step.mask), "a replay gave another mask"
            if not filled:
                (store.half if chunk in self.world.unfilled(call.video) else store.masks)[chunk] = step.mask

    def _held(self, call: Call) -> tuple[Pass, int, str]:
        held = self.sessions.get(call.generation)
        if held is None:
            raise WorkerDiedError("session lost", running=False)
        return held

    def _finish(self, call: Step | Resume, frames: str) -> tuple[Receipt, Payload]:
        plan, due, state = self._held(call)
        assert call.chunk == due
        state = digest(state, frames)
        self.sessions[call.generation] = (plan, due + plan.chunks.step, state)
        return StepReceipt(0.0, finished=True), FakeStep(state, state if call.snapshot else None)


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
        make: Callable[[WorkerId], Worker] | None = None,
    ) -> None:
        self.world = world
        self.make = make or (lambda _: FakeWorker(world))
        self.queues: dict[WorkerId, deque[tuple[Call, tuple[Payload, ...]]]] = {
            WorkerId(role, n): deque() for role, count in counts.items() for n in range(count)
        }
        self.alive: dict[WorkerId, Worker] = {w: self.make(w) for w in self.queues}
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

    def abandon(self, worker: WorkerId, generation: int) -> None:
        abandon(self.alive[worker], generation)

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
        self.alive[worker].close()  # as the kernel does: locks are free
        self.alive[worker] = self.make(worker)
        lost = [call, *(done.call for done in self.on_the_way[worker]), *(c for c, _ in self.queues[worker])]
        self.queues[worker].clear()
        self.on_the_way[worker].clear()
        return [Completion(worker, c, error=WorkerDiedError("died", running=n == 0)) for n, c in enumerate(lost)]

    def close(self) -> None: ...

    def close_workers(self) -> None:
        for worker in self.alive.values():
            worker.close()

"""Runs the scheduler's calls on actors.

The scheduler sees references only: an actor's ``run`` returns a receipt, which is fetched, and a payload, which stays where
it is until another actor is given the reference. Ray fetches it there while the calls before it still run.

Deaths. Actors restart without limit, and calls are never retried by Ray: retried calls of a restarted actor were seen to
run as 5, 4, 3, 7, 6 on a fresh process, all successfully, which is silent corruption for a tracker. So a dead actor's calls
complete with :class:`WorkerDiedError` and the scheduler decides. Until the new process answers a ping (about 2 s after a
kill, 17 s after the loss of a machine), calls wait here.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import ray
from ray._private.state import actors as actor_table
from ray._private.state import available_resources_per_node
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.decoder import Decoder
from actors.mask_writer import MaskWriter
from actors.placement import CPUS, Node, Plan, ShortageError, for_segments, gpu_share, plan, worker_ids
from actors.propagator import Propagator
from actors.refiner import Refiner
from actors.shell import CONTROL, ActorSetup, ActorStats, WorkerActor
from tam_dist.config import ClusterConfig, Config
from tam_dist.coordination.calls import Call, Completion, Payload, Role, WorkerId
from tam_dist.errors import PayloadLostError, ResourceError, TamDistError, WorkerDiedError

log = logging.getLogger(__name__)

#: Calls handed to one actor at a time; further ones wait here. Two keep it busy, since the next one's payloads arrive while
#: one runs; more would only be lost with it.
WINDOW = 3
#: A guard against mistakes here, as no more than :data:`WINDOW` are handed over. But those of an actor's earlier lives count as
#: well until it is back, which takes a minute on a machine with too much to do.
MOST_PENDING = 32 * WINDOW
#: Seconds after which a dead worker's videos go elsewhere, if there is an elsewhere. A restart on the same machine takes less.
MOVE_AFTER = 8.0
#: Seconds after which calls to a role without any living worker fail.
GIVE_UP_AFTER = 180.0
#: How often dead workers are asked whether they are back.
_TICK = 0.25

_WITHOUT_PROCESS = ("DEPENDENCIES_UNREADY", "PENDING_CREATION", "RESTARTING")
_DEATHS = (RayActorError, NodeDiedError, WorkerCrashedError, OutOfMemoryError)
ActorClasses = Mapping[Role, type[WorkerActor]]
ACTORS: ActorClasses = {
    Role.DECODER: Decoder,
    Role.PROPAGATOR: Propagator,
    Role.REFINER: Refiner,
    Role.WRITER: MaskWriter,
}


@dataclass
class _Lane:
    """One worker: its actor, the calls it has (by ticket, oldest first) and those it will get.

    ``epoch`` counts its deaths; what arrives from an earlier one was reported lost already.
    """

    worker: WorkerId
    actor: Any
    epoch: int = 0
    calls: dict[int, Call] = field(default_factory=dict)
    waiting: deque[tuple[Call, tuple[Payload, ...]]] = field(default_factory=deque)
    down_since: float | None = None
    pinged: bool = False

    @property
    def down_for(self) -> float:
        return 0.0 if self.down_since is None else time.monotonic() - self.down_since


@dataclass(frozen=True, eq=False)
class _Arrival:
    """An answer; ``ticket`` None for that to a ping."""

    worker: WorkerId
    epoch: int
    ticket: int | None
    answer: Future[Any]
    payload: Payload


class RayExecutor:
    """Implements :class:`tam_dist.coordination.calls.Executor` on the cluster that this process is connected to.

    One thread calls it; ``wake`` and ``stats`` may come from others. Actors are owned by this process and die with it.
    Raises :class:`ResourceError` where the cluster cannot hold the workers that ``config.cluster`` names.
    """

    def __init__(self, config: Config, *, owner: str, actors: ActorClasses = ACTORS) -> None:
        self._config = config
        self._owner = owner
        self._actors = actors
        self._plan: Plan = {}
        self._many_nodes = False
        if not config.cluster.grow_seconds:
            self._place(config.cluster)
        self._lanes: dict[WorkerId, _Lane] = {}
        self._arrivals: queue.SimpleQueue[_Arrival | None] = queue.SimpleQueue()
        self._completed: list[Completion] = []
        self._tickets = 0

    def provide(self, segments: int) -> None:
        """Have as many workers as the settings say, but of no role more than ``segments``."""
        cluster = for_segments(self._config.cluster, segments)
        if cluster.grow_seconds:
            self._place(cluster)
        for ids in worker_ids(cluster).values():
            for worker in ids:
                if worker not in self._lanes:
                    self._lanes[worker] = _Lane(worker, self._create(worker))

    # --- the executor's interface ------------------------------------------------------------------------------------------

    def workers(self, role: Role) -> Sequence[WorkerId]:
        """Those that can be given work; all of them while none can."""
        lanes = [lane for lane in self._lanes.values() if lane.worker.role is role]
        usable = [lane.worker for lane in lanes if lane.down_for < MOVE_AFTER]
        return usable or [lane.worker for lane in lanes]

    def submit(self, worker: WorkerId, call: Call, *payloads: Payload) -> None:
        lane = self._lanes[worker]
        lane.waiting.append((call, payloads))
        self._feed(lane)

    def abandon(self, worker: WorkerId, generation: int) -> None:
        lane = self._lanes[worker]
        if lane.down_since is None:
            lane.actor.abandon.remote(generation)

    def wait(self, timeout: float | None) -> Sequence[Completion]:
        deadline = time.monotonic() + (threading.TIMEOUT_MAX / 2 if timeout is None else timeout)
        woken = False
        while not self._completed and not woken:
            left = deadline - time.monotonic()
            try:
                woken = self._receive(max(min(left, _TICK), 0.0))
            except queue.Empty:
                if left <= _TICK:
                    break
            self._look_after_the_dead()
        found, self._completed = self._completed, []
        return found

    def close(self) -> None:
        """End all actors: politely, so that locks and GPU memory are freed, then by force."""
        lanes, self._lanes = list(self._lanes.values()), {}
        alive = [lane.actor for lane in lanes if lane.down_since is None]
        ray.wait([actor.close.remote() for actor in alive], num_returns=len(alive), timeout=5) if alive else None
        ray.wait([a.__ray_terminate__.remote() for a in alive], num_returns=len(alive), timeout=5) if alive else None
        for lane in lanes:
            ray.kill(lane.actor, no_restart=True)

    # --- besides -------------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Make ``wait`` return now."""
        self._arrivals.put(None)

    def waiting(self, role: Role) -> int:
        """Calls that the workers of a role have not finished, running ones included."""
        return sum(len(lane.calls) + len(lane.waiting) for lane in self._lanes.values() if lane.worker.role is role)

    def stats(self, timeout: float = 5.0) -> dict[WorkerId, ActorStats]:
        """Of the actors that answer in time."""
        asked = {lane.actor.stats.remote(): lane.worker for lane in list(self._lanes.values()) if lane.down_since is None}
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=timeout) if asked else ([], [])
        found = {}
        for answer in answered:
            try:
                found[asked[answer]] = ray.get(answer)
            except _DEATHS:
                continue  # it died meanwhile
        return found

    def unplaced(self) -> list[WorkerId]:
        """Workers that no machine has room for, now. From any thread."""
        return [lane.worker for lane in list(self._lanes.values()) if _is_unplaced(lane.actor)]

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _place(self, cluster: ClusterConfig) -> None:
        """Plan by what is free. Where that is too little now, as for a moment after another coordinator's end, by all there is:
        Ray makes the actors as soon as it becomes free. Where a cluster that grows has too little in all, Ray chooses, and its
        autoscaler adds machines for those that wait.
        """
        nodes = cluster_nodes()
        self._many_nodes = len(nodes) > 1
        try:
            self._plan = plan(cluster, free_nodes(), free=True)
        except ShortageError:
            try:
                self._plan = plan(cluster, nodes)
            except ShortageError:
                if not cluster.grow_seconds:
                    raise

    def _create(self, worker: WorkerId) -> Any:
        share = gpu_share(self._config.cluster, worker.role)
        where = None
        if self._many_nodes and worker in self._plan:
            # Without the last option a node whose GPU somebody else holds would be waited for while another is free.
            where = NodeAffinitySchedulingStrategy(self._plan[worker], soft=True, _spill_on_unavailable=True)
        remote: Any = ray.remote  # whose stub knows no concurrency groups
        return (
            remote(concurrency_groups={CONTROL: 1})(self._actors[worker.role])
            .options(
                num_cpus=CPUS[worker.role],
                num_gpus=share,
                max_restarts=-1,
                max_task_retries=0,
                max_pending_calls=MOST_PENDING,
                scheduling_strategy=where,
            )
            .remote(ActorSetup(self._config, share, self._owner))
        )

    def _feed(self, lane: _Lane) -> None:
        while lane.waiting and lane.down_since is None and len(lane.calls) < WINDOW:
            call, payloads = lane.waiting.popleft()
            self._tickets += 1
            lane.calls[self._tickets] = call
            receipt, payload = lane.actor.run.remote(call, *payloads)
            self._expect(lane, receipt, self._tickets, payload)

    def _expect(self, lane: _Lane, answer: Any, ticket: int | None, payload: Payload = None) -> None:
        """Have the answer put into the queue by one of Ray's threads: no polling, whatever the number of calls."""
        worker, epoch, arrivals = lane.worker, lane.epoch, self._arrivals
        answer.future().add_done_callback(lambda done: arrivals.put(_Arrival(worker, epoch, ticket, done, payload)))

    def _receive(self, timeout: float) -> bool:
        """Handle all that has arrived, waiting for the first. True if woken. Raises :class:`queue.Empty`."""
        woken = False
        arrival = self._arrivals.get(timeout=timeout)
        while True:
            if arrival is None:
                woken = True
            else:
                self._on_arrival(arrival)
            if self._arrivals.empty():
                return woken
            arrival = self._arrivals.get()

    def _on_arrival(self, arrival: _Arrival) -> None:
        lane = self._lanes.get(arrival.worker)
        if lane is None or arrival.epoch != lane.epoch:
            return
        error = arrival.answer.exception()
        if arrival.ticket is None:
            self._on_pong(lane, error)
        elif isinstance(error, _DEATHS):
            self._on_death(lane, error)
        elif error is not None:
            call = lane.calls.pop(arrival.ticket)
            self._completed.append(Completion(lane.worker, call, error=translate(error)))
        else:
            call = lane.calls.pop(arrival.ticket)
            self._completed.append(Completion(lane.worker, call, arrival.answer.result(), arrival.payload))
        self._feed(lane)

    def _on_death(self, lane: _Lane, error: Exception) -> None:
        log.warning("%s died: %s", lane.worker, str(error).splitlines()[0])
        lane.epoch += 1
        lane.down_since = time.monotonic()
        lost, lane.calls = lane.calls, {}
        for number, call in enumerate(lost.values()):
            self._completed.append(_died(lane.worker, call, running=number == 0))
        if isinstance(error, ActorDiedError):  # Ray will not bring it back: somebody killed it for good
            lane.actor = self._create(lane.worker)
        self._ping(lane)

    def _ping(self, lane: _Lane) -> None:
        lane.pinged = True
        self._expect(lane, lane.actor.ping.remote(), None)

    def _on_pong(self, lane: _Lane, error: BaseException | None) -> None:
        lane.pinged = False
        if error is None:
            log.info("%s is back after %.1f s", lane.worker, lane.down_for)
            lane.down_since = None
            self.wake()  # a video may have waited for its place
        elif isinstance(error, ActorDiedError):
            lane.actor = self._create(lane.worker)

    def _look_after_the_dead(self) -> None:
        """Ask them again, and hand back what waits for those that do not come back soon."""
        for lane in self._lanes.values():
            if lane.down_since is not None and not lane.pinged:
                self._ping(lane)
            if not lane.waiting or lane.down_for < MOVE_AFTER:
                continue
            others = [w for w in self.workers(lane.worker.role) if self._lanes[w].down_for < MOVE_AFTER]
            if others:
                while lane.waiting:
                    self._completed.append(_died(lane.worker, lane.waiting.popleft()[0], running=False))
            elif lane.down_for > GIVE_UP_AFTER:
                error = ResourceError(
                    f"No {lane.worker.role} came back within {GIVE_UP_AFTER:.0f} s of its death: look at its log in Ray's "
                    "session folder, then resume."
                )
                while lane.waiting:
                    self._completed.append(Completion(lane.worker, lane.waiting.popleft()[0], error=error))


def cluster_nodes() -> list[Node]:
    """The live machines of the cluster."""
    return [
        Node(node["NodeID"], float(node["Resources"].get("CPU", 0)), float(node["Resources"].get("GPU", 0)))
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def free_nodes() -> list[Node]:
    """The live machines with what no actor or task holds, of anybody's, a moment ago."""
    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    return [
        Node(node.id, float(free[node.id].get("CPU", 0)), float(free[node.id].get("GPU", 0)))
        for node in cluster_nodes()
        if node.id in free
    ]


def translate(error: BaseException) -> Exception:
    """The error as an inline worker would have raised it. Ray wraps what a call raised, and what went wrong with a call's
    arguments, in a ``RayTaskError``.
    """
    cause: BaseException = error
    while isinstance(cause, RayTaskError) and isinstance(cause.cause, BaseException):
        cause = cause.cause
    if isinstance(cause, ObjectLostError):
        return PayloadLostError(f"Data on its way between actors was lost: {str(cause).splitlines()[0]}")
    if isinstance(cause, TamDistError):
        return cause
    if isinstance(cause, RayError):
        return TamDistError(f"Ray could not run a call, {str(cause).splitlines()[0]}; look at Ray's logs, then resume.")
    assert isinstance(cause, Exception)
    cause.add_note(str(error))  # the traceback in the actor
    return cause


def _is_unplaced(actor: Any) -> bool:
    """Whether Ray has no process for it yet; one that loads its model has."""
    known = actor_table(actor._actor_id.hex())
    return bool(known) and known["State"] in _WITHOUT_PROCESS and not known["Address"]["Port"]


def _died(worker: WorkerId, call: Call, *, running: bool) -> Completion:
    return Completion(worker, call, error=WorkerDiedError(f"{worker} died.", running=running))

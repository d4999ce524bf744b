"""What the orchestration alone costs, far beyond the cores at hand: a simulated cluster of stand-ins that sleep.

    python -m tests.benchmarks.scaling --propagators 8
    python -m tests.benchmarks.scaling --propagators 32 --lanes 16

Each tracks at 20 ms a frame; one frame in eight waits 150 ms for a refiner, of which there are enough. Efficiency is frames
a second over propagators x 50, between the moment when all propagators work and the end of the first video, so that neither
start-up nor an empty queue counts. Everything is as in production (Ray, executor, scheduler, credits, references) but
the models, and decoder and writer, which make and forget small chunks: with real ones the cores would be measured. Frames
are tiny, as Ray carries what is below 100 kB through the coordinator, which chunks of real frames never pass.

A chunk of 16 frames is tracked in 320 ms and waits for 300, so two videos a propagator hide the waits only if nothing takes
time besides; three have room. The machine limits what can be simulated: Ray takes about 3 ms of a core for a call, both ends
together, and 32 propagators need 660 calls a second. How busy the machine was, and how much of it its host gave to others,
is printed too.

A Ray actor is a process of about 100 MB that takes half a second of a core to start, so ``--lanes`` stand-ins may share one,
each with a thread of its own (a concurrency group). The coordinator's work per call is the same; what is not measured with
more than one lane is the start of so many processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from actors.executor import RayExecutor
from actors.placement import gpu_share
from actors.shell import ActorSetup, WorkerActor
from tam_dist.config import Config, load_config
from tam_dist.coordination.calls import Call, Payload, Receipt, Role, Worker, WorkerId
from tam_dist.coordination.events import CallFinished, ChunkCommitted, ChunkTracked, Event, VideoEnded
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.video import VideoJob
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import SessionSpec, VideoGrid
from tam_dist.types import TrackedObject
from tests.standin_workers import NullDecoder, NullWriter, Pace, StandInPropagator, StandInRefiner

PACE = Pace(frame_seconds=0.020, ask_every=8, answer_seconds=0.150)
SIZE = (8, 8)
CHUNK = 16


#: Of any length: the stand-ins look at the size alone.
SPEC = SessionSpec(SIZE[1], SIZE[0], 1 << 40, CHUNK, (TrackedObject(1, "a", (0, 0, 0)),), (), load_config().propagation)


def make(role: Role) -> Worker:
    match role:
        case Role.DECODER:
            return NullDecoder(1 << 40, SIZE)
        case Role.PROPAGATOR:
            return StandInPropagator(PACE)
        case Role.REFINER:
            return StandInRefiner(PACE)
        case Role.WRITER:
            return NullWriter(SPEC, lambda video: (Pass(0, int(video.rpartition("-")[2])),))


class Lanes(WorkerActor):
    """Several stand-ins in one process; ``run`` is called in the concurrency group of one of them."""

    def build(self, setup: ActorSetup) -> Worker:
        raise NotImplementedError

    def __init__(self, setup: ActorSetup, workers: dict[str, Role]) -> None:
        self._workers = {lane: make(role) for lane, role in workers.items()}

    def run_in(self, lane: str, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        return self._workers[lane].run(call, *payloads)


@dataclass
class _Lane:
    """Looks to the executor like an actor of its own."""

    actor: Any
    name: str
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> _Lane:
        return self

    def remote(self, call: Call, *payloads: Payload) -> Any:
        if "run" not in self.kept:
            self.kept["run"] = self.actor.run_in.options(num_returns=2, concurrency_group=self.name)
        return self.kept["run"].remote(self.name, call, *payloads)


class PackedExecutor(RayExecutor):
    """The executor with ``lanes`` workers of a role in one process."""

    def __init__(self, config: Config, lanes: int) -> None:
        super().__init__(config, owner="scaling")
        self._packed = lanes
        self._hosts: dict[tuple[Role, int], Any] = {}

    def _create(self, worker: WorkerId) -> Any:
        key = (worker.role, worker.number // self._packed)
        names = [f"lane{n}" for n in range(self._packed)]
        if key not in self._hosts:
            remote: Any = ray.remote
            host = remote(concurrency_groups={"control": 1, **dict.fromkeys(names, 1)})(Lanes)
            setup = ActorSetup(self._config, gpu_share(self._config.cluster, worker.role), "scaling")
            self._hosts[key] = host.options(num_cpus=0.01, max_restarts=0).remote(setup, dict.fromkeys(names, worker.role))
        return _Lane(self._hosts[key], names[worker.number % self._packed])

    def close(self) -> None:
        for host in self._hosts.values():
            ray.kill(host)


class Meter:
    """Frames and the coordinator's own time, from the moment when all propagators work."""

    def __init__(self, propagators: int, warm_chunks: int) -> None:
        self._propagators = propagators
        self._warm_chunks = warm_chunks
        self._chunks: dict[str, int] = defaultdict(int)
        self.began = self.ended = self.cpu_began = self.cpu_ended = 0.0
        self.machine = _Machine(0, 0, 0)
        self.frames = self.chunks = self.calls = 0
        self.commits = 0

    def __call__(self, event: Event) -> None:
        match event:
            case ChunkTracked() if not self.began:
                self._chunks[event.video] += 1
                warm = sum(count >= self._warm_chunks for count in self._chunks.values())
                if warm >= self._propagators * 2:
                    self.began, self.cpu_began, self.machine = time.perf_counter(), cpu_seconds(), _Machine.now()
            case ChunkTracked() if not self.ended:
                self.frames += event.frames
                self.chunks += 1
            case CallFinished() if self.began and not self.ended:
                self.calls += 1
            case ChunkCommitted():
                self.commits += 1
            case VideoEnded() if not self.ended:
                self.ended, self.cpu_ended = time.perf_counter(), cpu_seconds()
                self.machine = _Machine.now() - self.machine


@dataclass(frozen=True)
class _Machine:
    """Time of all cores, in ticks: at work, taken by the host, in all."""

    busy: int
    stolen: int
    total: int

    @classmethod
    def now(cls) -> _Machine:
        ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        idle, stolen = ticks[3] + ticks[4], ticks[7]
        return cls(sum(ticks) - idle - stolen, stolen, sum(ticks))

    def __sub__(self, other: _Machine) -> _Machine:
        return _Machine(self.busy - other.busy, self.stolen - other.stolen, self.total - other.total)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--propagators", type=int, default=8)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--refiners", type=int, help="as many as propagators by default")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="of tracking, measured part")
    arguments = parser.parse_args()
    count = arguments.propagators
    config = load_config(
        [
            "cluster.preset=cpu",
            f"cluster.propagators={count}",
            f"cluster.refiners={arguments.refiners or count}",
            f"cluster.decoders={max(1, count // 4)}",
            f"cluster.writers={max(1, count // 4)}",
            f"cluster.sessions_per_propagator={arguments.sessions}",
            f"tracking.chunk_size={CHUNK}",
        ]
    )
    # Ray starts as many idle processes as it believes to have CPUs, unless told not to.
    os.environ.update(RAY_prestart_worker_first_driver="0", RAY_worker_niceness="0")
    ray.init(address="local", num_cpus=4 * count, include_dashboard=False, log_to_driver=False)
    videos = count * arguments.sessions
    chunks = int(arguments.seconds / (CHUNK * PACE.frame_seconds) / arguments.sessions) + 4
    jobs = [
        VideoJob(
            f"video{n}-{chunks}",
            f"video{n}",
            "pyav",
            VideoGrid(SIZE[1], SIZE[0], chunks * CHUNK, CHUNK),
        )
        for n in range(videos)
    ]
    executor = PackedExecutor(config, arguments.lanes)
    meter = Meter(count, warm_chunks=2)
    scheduler = Scheduler(executor, config, meter)
    for job in jobs:
        scheduler.add(job)
    executor.provide(videos)
    scheduler.run()
    executor.close()
    seconds = meter.ended - meter.began
    speed = meter.frames / seconds
    cpu = meter.cpu_ended - meter.cpu_began
    print(
        f"{count} propagators x {arguments.sessions} videos, {arguments.lanes} a process: {speed:.0f} frames/s, "
        f"efficiency {speed * PACE.frame_seconds / count:.3f}; {meter.calls / seconds:.0f} calls/s; the coordinator used "
        f"{cpu / meter.chunks * 1e3:.2f} ms of a core per chunk ({cpu / meter.calls * 1e6:.0f} us per call), "
        f"{cpu / seconds:.0%} of one core; {seconds:.1f} s measured, the machine's {os.cpu_count()} cores "
        f"{meter.machine.busy / meter.machine.total:.0%} busy, {meter.machine.stolen / meter.machine.total:.0%} taken by others"
    )
    ray.shutdown()


if __name__ == "__main__":
    main()

"""Whether memory stays flat over a long run on Ray: the object store, and each actor's own memory.

    python -m tests.benchmarks.ray_memory --chunks 1000

One stand-in propagator gets 480p chunks of 20 MB as fast as they come; every so often the store's use and the actors' resident
memory (without shared pages) are printed. At the end, after the last commit, nothing may be left in the store.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import ray

from actors.executor import RayExecutor
from actors.shell import ActorSetup, WorkerActor, resident_bytes
from tam_dist.config import load_config
from tam_dist.coordination.calls import Role, Worker
from tam_dist.coordination.events import ChunkCommitted, Event
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.video import VideoJob
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import SessionSpec, VideoGrid
from tam_dist.types import TrackedObject
from tests.standin_workers import NullDecoder, NullWriter, Pace, StandInPropagator, StandInRefiner

SIZE, CHUNK = (480, 854), 16
PACE = Pace(ask_every=64)


class MemoryDecoder(WorkerActor):
    role = Role.DECODER

    def build(self, setup: ActorSetup) -> Worker:
        return NullDecoder(1 << 40, SIZE)


class MemoryPropagator(WorkerActor):
    role = Role.PROPAGATOR

    def build(self, setup: ActorSetup) -> Worker:
        return StandInPropagator(PACE)


#: Of any length: the stand-ins look at the size alone.
SPEC = SessionSpec(SIZE[1], SIZE[0], 1 << 40, CHUNK, (TrackedObject(1, "a", (0, 0, 0)),), (), load_config().propagation)


class MemoryRefiner(WorkerActor):
    role = Role.REFINER

    def build(self, setup: ActorSetup) -> Worker:
        return StandInRefiner(PACE)


class MemoryWriter(WorkerActor):
    role = Role.WRITER

    def build(self, setup: ActorSetup) -> Worker:
        return NullWriter(SPEC, lambda video: (Pass(0, int(video.rpartition("-")[2])),))


CLASSES = {
    Role.DECODER: MemoryDecoder,
    Role.PROPAGATOR: MemoryPropagator,
    Role.REFINER: MemoryRefiner,
    Role.WRITER: MemoryWriter,
}


def store_megabytes() -> float:
    """In use in the object stores of the cluster, MB."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    state: Any = get_state_from_address(ray.get_runtime_context().gcs_address)
    return float(get_memory_info_reply(state).store_stats.object_store_bytes_used) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--every", type=int, default=100, help="chunks between two lines")
    parser.add_argument("--address", default="local")
    arguments = parser.parse_args()
    config = load_config(["cluster.preset=cpu", f"tracking.chunk_size={CHUNK}"])
    ray.init(address=arguments.address, log_to_driver=False)
    executor = RayExecutor(config, owner="memory", actors=CLASSES)
    executor.provide(1)
    peak = 0.0

    def listen(event: Event) -> None:
        nonlocal peak
        if not isinstance(event, ChunkCommitted):
            return
        peak = max(peak, store_megabytes())
        if event.chunk % arguments.every == arguments.every - 1:
            own = {str(w): round(s.resident_bytes / 1e6) for w, s in executor.stats().items()}
            own["scheduler"] = round(resident_bytes() / 1e6)
            print(
                f"chunk {event.chunk + 1}: store {store_megabytes():.0f} MB (most so far {peak:.0f}), resident MB {own}",
                flush=True,
            )

    scheduler = Scheduler(executor, config, listen)
    scheduler.add(
        VideoJob(f"memory-{arguments.chunks}", "memory", "pyav", VideoGrid(SIZE[1], SIZE[0], arguments.chunks * CHUNK, CHUNK))
    )
    scheduler.run()
    time.sleep(2)  # Ray frees in batches
    print(f"after the last commit: store {store_megabytes():.0f} MB")
    executor.close()
    ray.shutdown()


if __name__ == "__main__":
    main()

"""The refiner's actor: pins SAM to its GPU and answers the requests of any video."""

from __future__ import annotations

from actors.shell import ActorSetup, WorkerActor, limit_gpu_memory
from tam_dist.coordination.calls import Role, Worker


class Refiner(WorkerActor):
    role = Role.REFINER

    def build(self, setup: ActorSetup) -> Worker:
        from tam_dist.workers.refiner import RefinerWorker

        limit_gpu_memory(setup.gpus)
        return RefinerWorker(setup.config)

"""The propagator's actor: pins XMem to its GPU and holds the sessions of its videos.

Restarted without limit and never retried: a retried step would run on a fresh, empty memory, give wrong masks and say
nothing. Lost steps are replayed by the scheduler, in a new generation, from a checkpoint.
"""

from __future__ import annotations

from actors.shell import ActorSetup, WorkerActor, limit_gpu_memory
from tam_dist.coordination.calls import Role, Worker


class Propagator(WorkerActor):
    role = Role.PROPAGATOR

    def build(self, setup: ActorSetup) -> Worker:
        from tam_dist.workers.propagator import PropagatorWorker

        limit_gpu_memory(setup.gpus)
        return PropagatorWorker(setup.config)

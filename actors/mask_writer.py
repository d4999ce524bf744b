"""The writer's actor: owns the projects of its videos, so that each has one writer at a time."""

from __future__ import annotations

from actors.shell import ActorSetup, WorkerActor
from tam_dist.coordination.calls import Role, Worker

#: Seconds that a project's lock is waited for: after a coordinator's death its writers live on for a moment.
LOCK_PATIENCE_SECONDS = 15.0


class MaskWriter(WorkerActor):
    role = Role.WRITER

    def build(self, setup: ActorSetup) -> Worker:
        from tam_dist.workers.writer import WriterWorker

        return WriterWorker(owner=setup.owner, patience=LOCK_PATIENCE_SECONDS)

"""The decoder's actor: reads frames near the propagator that wants them."""

from __future__ import annotations

from actors.shell import ActorSetup, WorkerActor
from tam_dist.coordination.calls import Role, Worker


class Decoder(WorkerActor):
    role = Role.DECODER

    def build(self, setup: ActorSetup) -> Worker:  # noqa: ARG002
        from tam_dist.workers.decoder import DecoderWorker

        return DecoderWorker()

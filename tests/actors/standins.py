"""The real graph (decoding, storing) around stand-ins for the models: what recovery needs, without torch's start-up."""

from __future__ import annotations

from collections.abc import Sequence

from actors.decoder import Decoder
from actors.executor import ActorClasses
from actors.mask_writer import MaskWriter
from actors.shell import ActorSetup, WorkerActor
from tam_dist.config import Config
from tam_dist.coordination.calls import Role, Worker
from tam_dist.coordination.inline import InlineExecutor
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.video import VideoJob
from tam_dist.workers.decoder import DecoderWorker
from tam_dist.workers.writer import WriterWorker
from tests.standin_workers import Pace, StandInPropagator, StandInRefiner

#: Asks in the middle of chunks; slow enough that something can die while it runs.
PACE = Pace(frame_seconds=0.01, ask_every=11, answer_seconds=0.03)


class StandInPropagatorActor(WorkerActor):
    role = Role.PROPAGATOR

    def build(self, setup: ActorSetup) -> Worker:
        return StandInPropagator(PACE)


class StandInRefinerActor(WorkerActor):
    role = Role.REFINER

    def build(self, setup: ActorSetup) -> Worker:
        return StandInRefiner(PACE)


STAND_INS: ActorClasses = {
    Role.DECODER: Decoder,
    Role.PROPAGATOR: StandInPropagatorActor,
    Role.REFINER: StandInRefinerActor,
    Role.WRITER: MaskWriter,
}


def run_stand_ins(jobs: Sequence[VideoJob], config: Config) -> None:
    """The undisturbed run, without Ray."""
    executor = InlineExecutor(
        {
            Role.DECODER: [DecoderWorker],
            Role.PROPAGATOR: [lambda: StandInPropagator(PACE)],
            Role.REFINER: [lambda: StandInRefiner(PACE)],
            Role.WRITER: [WriterWorker],
        }
    )
    scheduler = Scheduler(executor, config)
    for job in jobs:
        scheduler.add(job)
    scheduler.run()
    executor.close()

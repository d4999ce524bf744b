"""A correction has that tracked again which it can change, once, in whatever order corrections come."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.coordination.calls import Call, OpenPass, Role, Step, WorkerId
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.preparation import job_of
from tam_dist.tracking.passes import Pass
from tests.tam_dist.coordination.corrected import CHUNK, SIZE, config, create, worker
from tests.tam_dist.coordination.simulated import SimulatedExecutor, World

CHUNKS = 30
WORKERS = {Role.DECODER: 1, Role.PROPAGATOR: 2, Role.REFINER: 1, Role.WRITER: 1}


def tracked(where: str) -> Counter[tuple[int, Pass]]:
    """Bring the project up to date; how often each chunk was tracked for it, in passes that start and go alike."""
    found: Counter[tuple[int, Pass]] = Counter()
    plans: dict[int, Pass] = {}

    def watch(which: WorkerId, call: Call) -> None:
        if isinstance(call, OpenPass):
            plans[call.generation] = Pass(0, 0, call.plan.direction, anchor=call.plan.anchor)
        elif isinstance(call, Step):
            found[call.chunk, plans[call.generation]] += 1

    executor = SimulatedExecutor(World(), WORKERS, choose=random.Random(0).choice, disturb=watch, make=worker)
    scheduler = Scheduler(executor, config("whole"))
    scheduler.add(job_of(ProjectStore.open(where, write=False)))
    scheduler.run()
    executor.close_workers()
    return found


def correct(where: str, frame: int) -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[frame % SIZE :, 2:] = True
    prompt = replace(tam_dist.mask("cat", mask, frame=frame), purpose="correction")
    ProjectStore.open(where, write=False).append_prompt(prompt)


@pytest.fixture
def film(tmp_path: Path) -> str:
    job = create(tmp_path / "p", [tam_dist.mask("cat", np.eye(SIZE, dtype=bool))], config("whole"), CHUNKS)
    assert tracked(job.project) == Counter((chunk, Pass(0, 0)) for chunk in range(CHUNKS))
    return job.project


@pytest.mark.parametrize("frames", [(60, 70, 20), (20, 60, 100, 40)])
def test_no_chunk_is_tracked_forwards_twice(frames: tuple[int, ...], film: str) -> None:
    """One before three others was, once for each of them."""
    for number, frame in enumerate(frames):
        correct(film, frame)
        forwards = {chunk: times for (chunk, each), times in tracked(film).items() if not each.backward}
        assert set(forwards.values()) == {1}, (frame, forwards)
        assert frame // CHUNK in forwards
        assert max(forwards) <= max(frame, *frames[:number], 0) // CHUNK + 5


def test_it_goes_on_from_a_checkpoint_near_by(film: str) -> None:
    correct(film, 80)
    assert min(chunk for chunk, each in tracked(film) if not each.backward) >= 18

"""The executor's contract: calls in order, references instead of pixels, errors as themselves, deaths told and repaired."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.exceptions import PendingCallsLimitExceeded

from actors.executor import MOST_PENDING, WINDOW, ActorClasses, RayExecutor
from actors.shell import ActorSetup, WorkerActor
from tam_dist.config import Config
from tam_dist.coordination.calls import (
    Call,
    CloseVideo,
    Completion,
    Decode,
    OpenSession,
    Payload,
    Receipt,
    Role,
    Segment,
    Step,
    StepReceipt,
    Worker,
    WorkerId,
)
from tam_dist.errors import ResourceError, VideoError, WeightsError, WorkerDiedError
from tam_dist.tracking.spec import SessionSpec, SessionStart
from tam_dist.types import FrameChunk, StepResult, TrackedObject
from tests.actors.standins import STAND_INS
from tests.tiny import moving_square, write_frames

DECODER, PROPAGATOR = WorkerId(Role.DECODER, 0), WorkerId(Role.PROPAGATOR, 0)
REFINER = WorkerId(Role.REFINER, 0)


class Slow:
    """Takes as long as the generation says, in tenths of a second, and refuses generation 99."""

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        time.sleep(call.generation / 10)
        return Receipt(call.generation / 10), (os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"))

    def close(self) -> None: ...


class SlowRefiner(WorkerActor):
    role = Role.REFINER

    def build(self, setup: ActorSetup) -> Worker:
        return Slow()


class NoWeights(WorkerActor):
    role = Role.WRITER

    def build(self, setup: ActorSetup) -> Worker:
        raise WeightsError("The weights x are not on this machine.")


CLASSES: ActorClasses = {**STAND_INS, Role.REFINER: SlowRefiner, Role.WRITER: NoWeights}


@pytest.fixture(scope="module")
def executor(cluster: None, config: Config) -> Iterator[RayExecutor]:
    made = RayExecutor(config, owner="test", actors=CLASSES)
    made.provide(1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_frames(tmp_path_factory.mktemp("frames") / "v", moving_square(20)))


def collect(executor: RayExecutor, count: int, seconds: float = 120.0) -> list[Completion]:
    found: list[Completion] = []
    deadline = time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} completions came"
        found.extend(executor.wait(1.0))
    return found


def one(executor: RayExecutor, worker: WorkerId, call: Call, *payloads: Payload) -> Completion:
    executor.submit(worker, call, *payloads)
    (completion,) = collect(executor, 1)
    return completion


def decode(uri: str, chunk: int) -> Decode:
    return Decode("p", 0, uri, "auto", "hold", 8, chunk)


def spec(config: Config) -> SessionSpec:
    return SessionSpec(64, 48, 20, 8, (TrackedObject(1, "a", (0, 0, 0)),), (), config.propagation)


def slow(*tenths: int) -> Sequence[Segment]:
    return [Segment("p", t, n) for n, t in enumerate(tenths)]


def test_frames_go_from_actor_to_actor_as_references(executor: RayExecutor, config: Config, frames: str) -> None:
    assert one(executor, PROPAGATOR, OpenSession("p", 0), SessionStart(spec(config))).error is None
    decoded = one(executor, DECODER, decode(frames, 0))
    assert isinstance(decoded.payload, ray.ObjectRef)
    step = one(executor, PROPAGATOR, Step("p", 0, 0, False), decoded.payload)
    assert isinstance(step.receipt, StepReceipt)
    assert step.receipt.finished
    result = ray.get(step.payload)
    assert isinstance(result, StepResult)
    assert result.chunk is not None
    assert result.chunk.labels.shape == (8, 48, 64)
    assert not np.asarray(ray.get(decoded.payload).frames).flags.writeable  # shared memory: nobody may write into it


def test_an_error_arrives_as_itself(executor: RayExecutor, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken = one(executor, DECODER, decode(str(tmp_path / "broken.mp4"), 0))
    assert isinstance(broken.error, VideoError)
    assert "broken.mp4" in str(broken.error)


def test_an_error_reaches_whoever_was_given_its_reference(executor: RayExecutor, config: Config, tmp_path: Path) -> None:
    """The scheduler never does that; were it to, the step would not run, and the decoder's error would come out."""
    actor = executor._lanes[DECODER].actor
    _, payload = actor.run.remote(decode(str(tmp_path / "none.mp4"), 0))
    step = one(executor, PROPAGATOR, Step("p", 0, 1, False), payload)
    assert isinstance(step.error, VideoError)


def test_missing_weights_are_told_by_every_call(executor: RayExecutor) -> None:
    writer = WorkerId(Role.WRITER, 0)
    for _ in range(2):
        assert isinstance(one(executor, writer, CloseVideo("p", 0)).error, WeightsError)


def test_a_restarted_propagator_refuses_a_step_of_its_predecessors_session(
    executor: RayExecutor, config: Config, frames: str
) -> None:
    assert one(executor, PROPAGATOR, OpenSession("q", 4), SessionStart(spec(config))).error is None
    chunk = one(executor, DECODER, decode(frames, 0)).payload
    stale = one(executor, PROPAGATOR, Step("q", 3, 0, False), chunk)
    assert isinstance(stale.error, WorkerDiedError)
    _kill(executor, PROPAGATOR)
    for _ in range(2):  # the death itself may be told first
        after = one(executor, PROPAGATOR, Step("q", 4, 0, False), chunk)
        assert isinstance(after.error, WorkerDiedError)
    assert not after.error.running


def test_a_death_is_told_for_every_call_and_blamed_on_the_oldest(executor: RayExecutor) -> None:
    before = ray.get(one(executor, REFINER, slow(0)[0]).payload)[0]
    for call in slow(30, 0, 0, 0, 0):
        executor.submit(REFINER, call)
    time.sleep(0.5)
    os.kill(before, signal.SIGKILL)
    done = collect(executor, 5)
    died = [c for c in done if c.error is not None]
    assert [c.call.chunk for c in died] == list(range(WINDOW))  # type: ignore[attr-defined]
    assert [c.error.running for c in died] == [True, False, False]  # type: ignore[union-attr]
    after = {ray.get(c.payload)[0] for c in done if c.error is None}
    assert len(after) == 1  # those that had not been handed over ran on the next process
    assert before not in after


def test_a_worker_that_was_killed_for_good_is_replaced(executor: RayExecutor) -> None:
    executor.submit(REFINER, slow(600)[0])  # killing takes a moment, in which it could answer something short
    ray.kill(executor._lanes[REFINER].actor, no_restart=True)
    assert isinstance(collect(executor, 1)[0].error, WorkerDiedError)
    assert one(executor, REFINER, slow(0)[0]).error is None


def test_calls_to_one_worker_run_in_order_and_few_at_a_time(executor: RayExecutor) -> None:
    for call in slow(1, 0, 0, 1, 0, 0, 0, 0):
        executor.submit(REFINER, call)
    lane = executor._lanes[REFINER]
    assert len(lane.calls) == WINDOW
    assert [c.call.chunk for c in collect(executor, 8)] == list(range(8))  # type: ignore[attr-defined]
    flood = []
    with pytest.raises(PendingCallsLimitExceeded):  # noqa: PT012  Ray's own limit, behind the window
        for number in range(MOST_PENDING + WINDOW):  # the first keeps it busy while the others come
            flood.extend(lane.actor.run.remote(slow(0 if number else 20)[0]))
    ray.wait(flood, num_returns=len(flood), timeout=60)


def test_actors_without_a_gpu_see_none(executor: RayExecutor) -> None:
    stats = executor.stats(timeout=60)
    assert {worker.role for worker in stats} == set(Role)
    assert {found.visible_gpus for found in stats.values()} == {""}


def test_what_the_cluster_lacks_is_said_before_anything_starts(cluster: None, config: Config) -> None:
    greedy = replace(config, cluster=replace(config.cluster, propagators=5, gpus_per_propagator=1.0))
    with pytest.raises(ResourceError, match="has 4 GPUs, but 5 propagators with 1 GPU each need 5"):
        RayExecutor(greedy, owner="test")


def test_chunks_are_let_go_once_nobody_refers_to_them(executor: RayExecutor, frames: str) -> None:
    held = [one(executor, DECODER, decode(frames, 0)).payload for _ in range(3)]
    assert all(isinstance(ray.get(ref), FrameChunk) for ref in held)
    lane = executor._lanes[DECODER]
    assert not lane.calls
    assert not lane.waiting


def _kill(executor: RayExecutor, worker: WorkerId) -> None:
    os.kill(executor.stats(timeout=60)[worker].pid, signal.SIGKILL)

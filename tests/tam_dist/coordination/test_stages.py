"""Busy shares, queues, bytes in flight and stalls, with a clock that the test turns."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tam_dist.coordination.calls import Role, WorkerId
from tam_dist.coordination.events import (
    CallFinished,
    CallSubmitted,
    ChunkDecoded,
    ChunkTracked,
    Event,
    StageLoad,
    StagesMeasured,
    VideoEnded,
    VideoReplayed,
)
from tam_dist.coordination.stages import STALL_SECONDS, WINDOW_SECONDS, StageAccounts, StageTeller
from tests.tam_dist.coordination.simulated import SimulatedExecutor, World
from tests.tam_dist.coordination.test_scheduler import COUNTS, config, job, run

D0, D1 = WorkerId(Role.DECODER, 0), WorkerId(Role.DECODER, 1)
P0 = WorkerId(Role.PROPAGATOR, 0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(clock: Clock) -> StageAccounts:
    return StageAccounts(clock)


def load(accounts: StageAccounts, role: Role) -> StageLoad:
    return next(each for each in accounts.loads() if each.role is role)


def work(accounts: StageAccounts, clock: Clock, worker: WorkerId, seconds: float, idle: float = 0.0) -> None:
    accounts(CallSubmitted(worker, "Step"))
    clock.now += seconds
    accounts(CallFinished(worker, "Step", seconds))
    clock.now += idle


def test_busy_share_of_a_worker_and_of_two(accounts: StageAccounts, clock: Clock) -> None:
    for _ in range(5):
        work(accounts, clock, D0, 1.0, idle=1.0)
    assert load(accounts, Role.DECODER).busy == pytest.approx(0.5)
    accounts(CallSubmitted(D1, "Decode"))
    accounts(CallFinished(D1, "Decode", 0.0))
    assert load(accounts, Role.DECODER) == StageLoad(Role.DECODER, 2, pytest.approx(0.25), 0, 5.0, 6)


def test_the_share_is_that_of_the_last_seconds(accounts: StageAccounts, clock: Clock) -> None:
    work(accounts, clock, P0, WINDOW_SECONDS)
    clock.now += WINDOW_SECONDS / 2
    assert load(accounts, Role.PROPAGATOR).busy == pytest.approx(0.5)
    clock.now += WINDOW_SECONDS
    assert load(accounts, Role.PROPAGATOR).busy == 0


def test_a_call_that_is_not_finished_counts_as_busy(accounts: StageAccounts, clock: Clock) -> None:
    accounts(CallSubmitted(P0, "Step"))
    clock.now += 3 * WINDOW_SECONDS
    assert load(accounts, Role.PROPAGATOR).busy == 1
    accounts(CallFinished(P0, "Step", 3 * WINDOW_SECONDS))
    assert load(accounts, Role.PROPAGATOR).busy == 1


def test_calls_behind_the_one_under_way_are_queued(accounts: StageAccounts) -> None:
    for _ in range(3):
        accounts(CallSubmitted(D0, "Decode"))
    accounts(CallSubmitted(D1, "Decode"))
    assert load(accounts, Role.DECODER).queued == 2
    accounts(CallFinished(D0, "Decode", 0.1))
    assert load(accounts, Role.DECODER).queued == 1


def test_frames_are_in_flight_from_decoding_to_tracking(accounts: StageAccounts) -> None:
    for chunk in range(3):
        accounts(ChunkDecoded("a", chunk, 100))
    accounts(ChunkDecoded("b", 0, 7))
    accounts(ChunkTracked("a", 0, 16))
    assert accounts.bytes_in_flight == 207
    accounts(VideoReplayed("a", 1, Role.PROPAGATOR))
    assert accounts.bytes_in_flight == 7
    accounts(VideoEnded("b", "failed", None))
    assert accounts.bytes_in_flight == 0


def test_an_idle_propagator_has_stalled(accounts: StageAccounts, clock: Clock) -> None:
    clock.now += 10  # before its first call it waits for the first chunk to be decoded: no stall
    for idle in (0.0, STALL_SECONDS / 2, STALL_SECONDS * 2, 0.0):
        work(accounts, clock, P0, 1.0, idle)
    assert accounts.stalls == 1


def test_nothing_is_left_in_the_books_after_a_run_with_deaths() -> None:
    dice = random.Random(3)
    world = World(asks=lambda video, chunk: chunk % 3 == 0)
    executor = SimulatedExecutor(world, COUNTS, dice.choice, lambda worker, call: "kill" if dice.random() < 0.05 else None)
    events: list[Event] = run(world, [job(name, 7) for name in "abcd"], executor, config("cluster.max_deaths_per_chunk=99"))
    accounts = StageAccounts()
    for event in events:
        accounts(event)
    assert accounts.bytes_in_flight == 0
    assert all(stage.queued == 0 for stage in accounts.loads())
    submitted = Counter((e.worker, e.call) for e in events if isinstance(e, CallSubmitted))
    submitted.subtract((e.worker, e.call) for e in events if isinstance(e, CallFinished))
    assert {call for (_, call), left in submitted.items() if left} <= {"CloseSession", "CloseVideo"}  # nobody waits for those


def test_a_listener_is_told_measurements_instead_of_calls(clock: Clock) -> None:
    heard: list[Event] = []
    teller = StageTeller(heard.append, clock)
    for _ in range(100):
        teller(CallSubmitted(D0, "Decode"))
        clock.now += 0.1
        teller(CallFinished(D0, "Decode", 0.1))
    assert not [e for e in heard if not isinstance(e, StagesMeasured)]
    assert len(heard) <= 12
    teller(VideoEnded("a", "done", None))
    measured, ended = heard[-2:]
    assert isinstance(ended, VideoEnded)
    assert isinstance(measured, StagesMeasured)
    assert (measured.loads[0].calls, measured.loads[0].seconds) == (100, pytest.approx(10.0))

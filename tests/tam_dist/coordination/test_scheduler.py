"""The contract: whatever dies, every video ends, its masks are those of an undisturbed run, and nothing piles up."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.config import Config, load_config
from tam_dist.coordination.calls import Call, Decode, Role, Step, WorkerId, Write
from tam_dist.coordination.events import ChunkCommitted, Event, VideoEnded, VideoReplayed
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.errors import StorageError, TamDistError, VideoError
from tam_dist.tracking.spec import VideoGrid
from tests.tam_dist.coordination.simulated import FakeStore, SimulatedExecutor, World

COUNTS = {Role.DECODER: 2, Role.PROPAGATOR: 2, Role.REFINER: 2, Role.WRITER: 2}
CHUNK = 4


@functools.cache
def config(*overrides: str) -> Config:
    return load_config([f"tracking.chunk_size={CHUNK}", *overrides])


def job(name: str, chunks: int) -> VideoJob:
    return VideoJob(name, f"{name}.mp4", "pyav", VideoGrid(8, 8, chunks * CHUNK - 1, CHUNK))


def run(world: World, jobs: Sequence[VideoJob], executor: SimulatedExecutor, used: Config | None = None) -> list[Event]:
    events: list[Event] = []
    scheduler = Scheduler(executor, used or config(), events.append)
    for each in jobs:
        scheduler.add(each)
    scheduler.run()
    return events


def test_one_video_is_tracked_in_order_and_committed() -> None:
    world = World()
    executor = SimulatedExecutor(world, COUNTS)
    events = run(world, [job("a", 9)], executor)
    assert world.stores["a"].masks == world.expected("a", 9)
    assert world.stores["a"].state == "done"
    commits = [e for e in events if isinstance(e, ChunkCommitted)]
    assert [e.chunk for e in commits] == list(range(9))
    assert commits[-1].frames_done == 9 * CHUNK - 1
    assert [c.chunk for _, c in executor.log if isinstance(c, Step) and c.snapshot] == [3, 7]


def test_a_propagator_takes_another_videos_step_while_one_waits_for_sam() -> None:
    world = World(asks=lambda video, chunk: True)
    one = {**COUNTS, Role.PROPAGATOR: 1}
    executor = SimulatedExecutor(world, one, choose=random.Random(1).choice)
    run(world, [job("a", 3), job("b", 3)], executor)
    steps = [c.video for _, c in executor.log if isinstance(c, Step)]
    assert "ab" in "".join(steps)
    assert "ba" in "".join(steps)
    assert {v: s.masks for v, s in world.stores.items()} == {v: world.expected(v, 3) for v in "ab"}


@pytest.mark.parametrize(("decoded", "writes"), [(1, 1), (2, 2), (4, 1)])
def test_credits_bound_what_is_in_flight(decoded: int, writes: int) -> None:
    world = World()
    most: Counter[str] = Counter()

    def starve_then_serve(busy: Sequence[WorkerId]) -> WorkerId:
        for worker in busy:  # let everything pile up that may: writers and propagators are served last
            if worker.role is Role.DECODER:
                return worker
        for queue in executor.queues.values():
            kinds = Counter(type(c).__name__ for c, _ in queue)
            for kind, count in kinds.items():
                most[kind] = max(most[kind], count)
        return min(busy, key=lambda w: (w.role is Role.WRITER, w.number))

    used = config(f"credits.decoded_chunks={decoded}", f"credits.writes={writes}")
    executor = SimulatedExecutor(world, dict.fromkeys(Role, 1), choose=starve_then_serve)
    run(world, [job("a", 12)], executor, used)
    assert world.stores["a"].masks == world.expected("a", 12)
    assert most["Write"] == writes
    assert most["Step"] == 1
    decoded_at = {c.chunk: n for n, (_, c) in enumerate(executor.log) if isinstance(c, Decode)}
    stepped_at = {c.chunk: n for n, (_, c) in enumerate(executor.log) if isinstance(c, Step)}
    ahead = [sum(decoded_at[d] < stepped_at[s] for d in decoded_at if d > s) for s in stepped_at]
    assert max(ahead) <= decoded


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), rate=st.sampled_from([0.02, 0.1, 0.25]), videos=st.integers(1, 5))
def test_random_deaths_never_change_a_mask(seed: int, rate: float, videos: int) -> None:
    rng = random.Random(seed)
    world = World(asks=lambda video, chunk: (ord(video) + chunk) % 3 == 0)
    deaths = [0]

    def disturb(worker: WorkerId, call: Call) -> str | None:
        if deaths[0] < 40 and rng.random() < rate:
            deaths[0] += 1
            return "kill" if rng.random() < 0.8 else "lose"
        return None

    executor = SimulatedExecutor(world, COUNTS, choose=rng.choice, disturb=disturb)
    used = config("cluster.max_deaths_per_chunk=100")
    names = "abcde"[:videos]
    lengths = {v: rng.randint(1, 11) for v in names}
    run(world, [job(v, n) for v, n in lengths.items()], executor, used)
    for video, chunks in lengths.items():
        assert world.stores[video].masks == world.expected(video, chunks)
        assert world.stores[video].state == "done"


def test_a_chunk_that_kills_its_workers_is_set_aside_and_the_rest_goes_on() -> None:
    world = World()
    executor = SimulatedExecutor(
        world,
        {**COUNTS, Role.PROPAGATOR: 1},
        disturb=lambda worker, call: "kill" if isinstance(call, Step) and (call.video, call.chunk) == ("a", 5) else None,
    )
    events = run(world, [job("a", 8), job("b", 8)], executor)
    assert world.stores["b"].masks == world.expected("b", 8)
    assert world.stores["a"].state == "failed"
    assert "frames 20 to 23" in (world.stores["a"].reason or "")
    assert world.stores["a"].masks == dict(list(world.expected("a", 8).items())[:5])
    assert sum(isinstance(e, VideoReplayed) and e.video == "a" for e in events) == 2
    ended = {e.video: e.state for e in events if isinstance(e, VideoEnded)}
    assert ended == {"a": "failed", "b": "done"}


def test_a_broken_video_fails_with_its_reason_and_stops_nobody() -> None:
    world = World()
    executor = SimulatedExecutor(world, COUNTS)
    executor.errors[(Decode, "a", 2)] = VideoError("a.mp4: frame 9 is damaged.")
    events = run(world, [job("a", 6), job("b", 3)], executor)
    assert world.stores["a"].reason == "a.mp4: frame 9 is damaged."
    assert world.stores["b"].state == "done"
    assert any(isinstance(e, VideoEnded) and str(e.error) == "a.mp4: frame 9 is damaged." for e in events)


def test_a_write_that_fails_ends_its_video_and_is_not_waited_for() -> None:
    world = World()
    executor = SimulatedExecutor(world, COUNTS)
    executor.errors[(Write, "a", 2)] = StorageError("a: the disk is full.")
    run(world, [job("a", 6), job("b", 3)], executor)
    assert (world.stores["a"].state, world.stores["a"].reason) == ("failed", "a: the disk is full.")
    assert world.stores["b"].state == "done"


def test_long_videos_start_first_and_places_are_respected() -> None:
    world = World()
    executor = SimulatedExecutor(world, {**COUNTS, Role.PROPAGATOR: 1})
    used = config("cluster.sessions_per_propagator=1")
    run(world, [job("a", 2), job("b", 5), job("c", 3)], executor, used)
    steps = "".join(c.video for _, c in executor.log if isinstance(c, Step))
    assert steps == "bbbbbcccaa"


def test_stop_saves_where_each_video_is_and_a_later_run_repeats_nothing() -> None:
    world = World(asks=lambda video, chunk: chunk % 2 == 0)
    executor = SimulatedExecutor(world, COUNTS)
    scheduler = Scheduler(executor, config())
    scheduler.add(job("a", 20))
    while len(world.stores.get("a", FakeStore()).masks) < 6:
        scheduler.poll(None)
    scheduler.stop()
    scheduler.run()
    assert scheduler.videos[0].state is VideoState.STOPPED
    done = len(world.stores["a"].masks)
    assert 6 <= done < 20
    assert max(world.stores["a"].checkpoints) == done - 1
    again = SimulatedExecutor(world, COUNTS)
    run(world, [job("a", 20)], again)
    assert world.stores["a"].masks == world.expected("a", 20)
    assert min(c.chunk for _, c in again.log if isinstance(c, Step)) == done


def test_cancel_frees_the_place_and_keeps_what_is_committed() -> None:
    world = World()
    executor = SimulatedExecutor(world, COUNTS)
    scheduler = Scheduler(executor, config())
    scheduler.add(job("a", 20))
    scheduler.add(job("b", 2))
    while not world.stores.get("a", FakeStore()).masks:
        scheduler.poll(None)
    scheduler.cancel("a")
    scheduler.run()
    assert world.stores["a"].state == "cancelled"
    assert 0 < len(world.stores["a"].masks) < 20
    assert world.stores["b"].state == "done"


def test_a_paused_video_goes_on_where_it_was() -> None:
    world = World()
    executor = SimulatedExecutor(world, COUNTS, choose=random.Random(2).choice)
    scheduler = Scheduler(executor, config())
    scheduler.add(job("a", 6))
    scheduler.add(job("b", 6))
    while not world.stores.get("a", FakeStore()).masks:
        scheduler.poll(None)
    scheduler.pause("a")
    while world.stores.get("b", FakeStore()).state != "done":
        scheduler.poll(None)
    assert len(world.stores["a"].masks) < 6
    scheduler.unpause("a")
    scheduler.run()
    assert world.stores["a"].masks == world.expected("a", 6)


def test_the_same_video_is_refused_twice() -> None:
    scheduler = Scheduler(SimulatedExecutor(World(), COUNTS), config())
    scheduler.add(job("a", 2))
    with pytest.raises(TamDistError, match="is being tracked already"):
        scheduler.add(job("a", 2))


def test_finished_videos_leave_nothing_behind() -> None:
    world = World()
    executor = SimulatedExecutor(world, COUNTS)
    scheduler = Scheduler(executor, config())
    scheduler.add(job("a", 6))
    scheduler.run()
    (video,) = scheduler.videos
    assert not video.decoded
    assert not video.writing
    assert video.current is None
    assert not any(isinstance(c, Write) for q in executor.queues.values() for c, _ in q)

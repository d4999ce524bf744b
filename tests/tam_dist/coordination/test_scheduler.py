"""The contract: whatever dies, every video ends, its masks are those of an undisturbed run, and nothing piles up."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.config import Config, load_config
from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    Decode,
    Encode,
    OpenPass,
    Resume,
    Role,
    Scan,
    Segment,
    Step,
    WorkerId,
    Write,
)
from tam_dist.coordination.events import ChunkCommitted, Event, ShotsScanned, VideoEnded, VideoReplayed
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.video import FINAL, VideoJob, VideoRun, VideoState
from tam_dist.errors import StorageError, TamDistError, VideoError
from tam_dist.tracking.passes import Direction, Pass
from tam_dist.tracking.spec import VideoGrid
from tests.tam_dist.coordination.simulated import LENGTHS, FakeStore, SimulatedExecutor, World

COUNTS = {Role.DECODER: 2, Role.PROPAGATOR: 2, Role.REFINER: 2, Role.WRITER: 2}
CHUNK = 4


@functools.cache
def config(*overrides: str) -> Config:
    return load_config([f"tracking.chunk_size={CHUNK}", *overrides])


def job(name: str, chunks: int) -> VideoJob:
    LENGTHS[name] = chunks
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


def test_sam_is_asked_again_where_the_session_that_asked_died_meanwhile() -> None:
    world = World(asks=lambda video, chunk: (video, chunk) == ("a", 1))
    killed: list[Call] = []

    def disturb(worker: WorkerId, call: Call) -> str | None:
        if killed:
            return None
        if isinstance(call, Segment):
            return "slow"
        if isinstance(call, Step) and any(isinstance(c, Segment) for _, c in executor.log):  # the other video's
            killed.append(call)
            return "kill"
        return None

    def answers_last(busy: Sequence[WorkerId]) -> WorkerId:
        asked = any(isinstance(c, Segment) for _, c in executor.log)
        served = Counter(worker for worker, _ in executor.log)
        return min(busy, key=lambda w: ((w.role is Role.REFINER) is asked, served[w]))

    one = {**COUNTS, Role.PROPAGATOR: 1}
    executor = SimulatedExecutor(world, one, choose=answers_last, disturb=disturb)
    run(world, [job("a", 3), job("b", 12)], executor)
    assert [call.video for call in killed] == ["b"]
    asked = [c.generation for _, c in executor.log if isinstance(c, Segment)]
    assert len(asked) == len(set(asked)) == 2
    assert [c.generation for _, c in executor.log if isinstance(c, Resume)] == asked  # in vain, then in earnest
    assert {v: s.masks for v, s in world.stores.items()} == {"a": world.expected("a", 3), "b": world.expected("b", 12)}


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


Passes = Callable[[str, int], tuple[Pass, ...]]


def whole(video: str, chunks: int) -> tuple[Pass, ...]:
    return (Pass(0, chunks),)


def several(video: str, chunks: int) -> tuple[Pass, ...]:
    """Segments of up to four chunks, some with a backward pass over their beginning."""
    rng = random.Random(f"{video}{chunks}")
    passes: list[Pass] = []
    while not passes or passes[-1].stop < chunks:
        first = passes[-1].stop if passes else 0
        passes.append(Pass(first, min(first + rng.randint(1, 4), chunks)))
    fills = [Pass(p.first, rng.randint(p.first + 1, p.stop), Direction.BACKWARD) for p in passes if rng.random() < 0.6]
    return (*passes, *fills)


def referring(video: str, plan: Pass) -> tuple[int, ...]:
    """Passes behind the first refer to chunks before and behind them."""
    return tuple(chunk for chunk in (0, plan.first - 1, plan.stop) if plan.first and 0 <= chunk < LENGTHS[video])


def stretches(video: str) -> tuple[tuple[int, int], ...]:
    return ((0, 3), (3, 6), (6, 8))


class Turmoil:
    """Whatever can happen to a run, drawn from ``rng``: workers die, stay away and answer late, payloads are lost, and users
    stop, cancel, pause and submit again, until ``moves`` are used up.
    """

    def __init__(
        self, rng: random.Random, moves: int, videos: Sequence[VideoJob], used: Config, passes: Passes = whole
    ) -> None:
        self.rng, self.moves, self.jobs = rng, moves, {v.project: v for v in videos}
        self.closed: set[str] = set()  # those whose end was or will be written to disk
        self.world = World(lambda video, chunk: (ord(video) + chunk) % 3 == 0, passes, referring, stretches)
        self.executor = SimulatedExecutor(self.world, COUNTS, choose=rng.choice, disturb=self.disturb)
        self.scheduler = Scheduler(self.executor, used, self.hear)
        for each in videos:
            self.scheduler.add(each)

    def disturb(self, worker: WorkerId, call: Call) -> str | None:
        if isinstance(call, CloseProject):
            self.closed.add(call.video)
        return self.rng.choice(["kill", "lose", "payload", "slow", "slow"]) if self._moved(0.1) else None

    def hear(self, event: Event) -> None:
        if isinstance(event, VideoEnded) and event.video in self.closed:
            assert event.state == self.world.stores[event.video].state, "events and disk tell different ends"

    def run(self) -> None:
        """Until everything is done, submitted again however often it takes."""
        while self.scheduler.busy or any(not self._done(v) for v in self.jobs):
            if self._moved(0.05):
                self._meddle()
            if not self.moves or not self.scheduler.busy or not self._under_way():
                for video in self.jobs:
                    self._go_on(video)
            self.scheduler.poll(None)
        while any(self.executor.queues.values()) or any(self.executor.on_the_way.values()):
            self.executor.wait(None)  # what nobody waits for any more

    def _moved(self, chance: float) -> bool:
        moved = self.moves > 0 and self.rng.random() < chance
        self.moves -= moved
        return moved

    def _meddle(self) -> None:
        video = self.rng.choice(list(self.jobs))
        match self.rng.choice(["stop", "stop all", "cancel", "pause", "unpause", "again", "return"]):
            case "stop":
                self.scheduler.stop([video])
            case "stop all":
                self.scheduler.stop()
            case "cancel":
                self.scheduler.cancel(video)
            case "pause":
                self.scheduler.pause(video)
            case "unpause":
                self.scheduler.unpause(video)
            case "again":
                self._go_on(video)
            case "return":
                self.executor.away.clear()

    def _go_on(self, video: str) -> None:
        run = self._run_of(video)
        if run.state in FINAL and not self._done(video):
            self.closed.discard(video)
            self.scheduler.add(self.jobs[video])
        elif run.state not in FINAL and run.paused:
            self.scheduler.unpause(video)

    def _under_way(self) -> bool:
        """Something will happen without a further word from the users."""
        begun = [r for r in self.scheduler.videos if r.state not in FINAL and r.state is not VideoState.WAITING]
        return not begun or not all(self._rests(r) for r in begun)

    @staticmethod
    def _rests(run: VideoRun) -> bool:
        """It is paused, or waits for a place, which those that are paused may hold."""
        waits = run.state is VideoState.STARTING and run.place is None
        return waits or (run.state is VideoState.TRACKING and (run.paused or not run.open))

    def _run_of(self, video: str) -> VideoRun:
        return next(run for run in self.scheduler.videos if run.job.project == video)

    def _done(self, video: str) -> bool:
        return self._run_of(video).state is VideoState.DONE


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    moves=st.sampled_from([3, 20, 60]),
    videos=st.integers(1, 5),
    places=st.sampled_from([1, 2, 8]),
    passes=st.sampled_from([whole, several]),
)
def test_whatever_happens_every_video_ends_with_its_masks(
    seed: int, moves: int, videos: int, places: int, passes: Passes
) -> None:
    rng = random.Random(seed)
    used = config("cluster.max_deaths_per_chunk=1000", f"cluster.sessions_per_propagator={places}")
    turmoil = Turmoil(rng, moves, [job(v, rng.randint(1, 11)) for v in "abcde"[:videos]], used, passes)
    turmoil.run()
    for video, each in turmoil.jobs.items():
        store = turmoil.world.stores[video]
        assert store.masks == turmoil.world.expected(video, each.spec.chunk_count)
        assert store.state == "done"
    for worker in turmoil.executor.alive.values():
        assert not worker.sessions, "a session that nobody uses keeps its memory"
    for run_ in turmoil.scheduler.videos:
        assert run_.all_tracked
        assert not run_.propagators


def test_passes_of_one_video_run_at_once_and_fills_come_after_what_they_fill() -> None:
    plan = (Pass(0, 6), Pass(6, 12), Pass(6, 9, Direction.BACKWARD), Pass(0, 2, Direction.BACKWARD))
    world = World(passes=lambda video, chunks: plan)
    executor = SimulatedExecutor(world, COUNTS, choose=random.Random(4).choice)
    events = run(world, [job("a", 12)], executor)
    assert world.stores["a"].masks == world.expected("a", 12)
    steps = [(worker, call.chunk) for worker, call in executor.log if isinstance(call, Step)]
    early = {worker for worker, chunk in steps[:4]}
    assert len(early) == 2, "an idle propagator takes another pass of the video"
    writes = [(call.chunk, call.backward) for _, call in executor.log if isinstance(call, Write)]
    assert all(writes.index((c, False)) < writes.index((c, True)) for c in (0, 1, 6, 7, 8))
    commits = [e for e in events if isinstance(e, ChunkCommitted)]
    assert commits[-1].frames_done == 12 * CHUNK - 1
    assert sorted(e.chunk for e in commits if e.new) == list(range(12))
    lanes = {(w, c.lane): c.generation for w, c in executor.log if isinstance(c, Decode)}
    assert len(set(lanes.values())) == len(lanes)


def test_other_writers_encode_what_one_stores_of_several_passes() -> None:
    plan = tuple(Pass(first, first + 4) for first in range(0, 24, 4))
    world = World(passes=lambda video, chunks: plan)
    executor = SimulatedExecutor(world, COUNTS)
    run(world, [job("a", 24)], executor)
    assert world.stores["a"].masks == world.expected("a", 24)
    (writer,) = {worker for worker, call in executor.log if isinstance(call, Write)}
    encoders = [worker for worker, call in executor.log if isinstance(call, Encode)]
    assert set(encoders) == set(executor.workers(Role.WRITER)) - {writer}


def test_a_lone_pass_is_encoded_where_it_is_written() -> None:
    executor = SimulatedExecutor(World(), COUNTS)
    run(executor.world, [job("a", 6), job("b", 6)], executor)
    assert not any(isinstance(call, Encode) for _, call in executor.log)


def test_all_decoders_look_for_cuts_once_before_passes_are_known() -> None:
    world = World(passes=several, scans=stretches)
    executor = SimulatedExecutor(world, COUNTS)
    events = run(world, [job("a", 9)], executor)
    assert world.stores["a"].masks == world.expected("a", 9)
    scans = [(worker, call) for worker, call in executor.log if isinstance(call, Scan)]
    assert [(call.start, call.stop) for _, call in scans] == [*stretches("a")]
    assert len({worker for worker, _ in scans}) == COUNTS[Role.DECODER]
    first = next(n for n, (_, call) in enumerate(executor.log) if isinstance(call, OpenPass))
    assert not any(isinstance(call, Scan) for _, call in executor.log[first:])
    assert [e.frames for e in events if isinstance(e, ShotsScanned)] == [27, 30, 33, 35]


def test_the_longest_segments_start_first() -> None:
    lengths = [2, 5, 1, 9, 3]
    edges = [0, *accumulate(lengths)]
    world = World(passes=lambda video, chunks: tuple(Pass(a, b) for a, b in pairwise(edges)))
    executor = SimulatedExecutor(world, {**COUNTS, Role.PROPAGATOR: 1})
    run(world, [job("a", sum(lengths))], executor, config("cluster.sessions_per_propagator=1"))
    opened = [call.plan.stop - call.plan.first for _, call in executor.log if isinstance(call, OpenPass)]
    assert opened == sorted(lengths, reverse=True)


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


def closing(executor: SimulatedExecutor, at: type[Call], **more: Any) -> tuple[Scheduler, list[VideoEnded]]:
    """A schedule of video "a" that has come to a call of type ``at``, not answered yet."""
    ended: list[VideoEnded] = []
    scheduler = Scheduler(executor, config(), lambda event: ended.append(event) if isinstance(event, VideoEnded) else None)
    scheduler.add(job("a", more.get("chunks", 3)))
    while not any(isinstance(call, at) for queue in executor.queues.values() for call, _ in queue):
        scheduler.poll(None)
    return scheduler, ended


def test_a_cancellation_while_a_video_is_closed_changes_nothing() -> None:
    world = World()
    scheduler, ended = closing(SimulatedExecutor(world, COUNTS), CloseProject)
    scheduler.cancel("a")
    scheduler.run()
    assert (ended[0].state, world.stores["a"].state) == ("done", "done")


def test_a_cancellation_hides_no_failure() -> None:
    world = World()
    executor = SimulatedExecutor(world, COUNTS)
    executor.errors[(Decode, "a", 0)] = VideoError("a.mp4: frame 1 is damaged.")
    scheduler, ended = closing(executor, CloseProject)
    scheduler.cancel("a")
    scheduler.run()
    assert (ended[0].state, str(ended[0].error)) == ("failed", "a.mp4: frame 1 is damaged.")
    assert (world.stores["a"].state, world.stores["a"].reason) == ("failed", "a.mp4: frame 1 is damaged.")


def test_an_end_that_cannot_be_recorded_is_a_failure_with_that_reason() -> None:
    executor = SimulatedExecutor(World(), COUNTS)
    executor.errors[(CloseProject, "a", -1)] = StorageError("a: the disk is full.")
    scheduler, ended = closing(executor, CloseProject)
    scheduler.run()
    assert (ended[0].state, str(ended[0].error)) == ("failed", "a: the disk is full.")


@pytest.mark.parametrize("lethal", [Write, CloseProject])
def test_what_kills_its_writer_at_the_end_is_not_repeated_without_limit(lethal: type[Call]) -> None:
    deadly = [False]
    kills = [0]

    def disturb(worker: WorkerId, call: Call) -> str | None:
        if deadly[0] and isinstance(call, lethal):
            kills[0] += 1
            return "kill"
        return None

    executor = SimulatedExecutor(
        World(), COUNTS, disturb=disturb, choose=lambda busy: max(busy, key=lambda w: w.role != "writer")
    )
    scheduler, ended = closing(executor, Write, chunks=6)
    deadly[0] = True
    scheduler.cancel("a")
    scheduler.run()
    assert kills[0] == config().cluster.max_deaths_per_chunk
    assert ended[0].state == "failed"
    assert "the writer died 3 times" in str(ended[0].error)


def test_a_video_that_lost_its_propagator_waits_for_a_place() -> None:
    """Its propagator stays away, the other one is full: asking for a session again and again kept the writer busy."""
    world = World()
    used = config("cluster.sessions_per_propagator=1", "cluster.max_deaths_per_chunk=100")
    lost = [False]

    def disturb(worker: WorkerId, call: Call) -> str | None:
        if not lost[0] and isinstance(call, Step) and (call.video, call.chunk) == ("b", 1):
            lost[0] = True
            return "lose"
        return None

    executor = SimulatedExecutor(world, COUNTS, choose=random.Random(3).choice, disturb=disturb)
    run(world, [job("a", 8), job("b", 6), job("c", 5)], executor, used)
    assert {v: s.masks for v, s in world.stores.items()} == {
        v: world.expected(v, n) for v, n in zip("abc", (8, 6, 5), strict=True)
    }
    assert sum(isinstance(c, OpenPass) and c.video == "b" for _, c in executor.log) == 2
    ends = [c.video for _, c in executor.log if isinstance(c, CloseProject)]
    assert ends == ["a", "b", "c"]  # who had begun goes on before who had not


def test_after_a_move_the_old_propagator_forgets_the_session() -> None:
    """The old one lives, out of the scheduler's reach for a moment, and so would the session's memory."""

    def disturb(worker: WorkerId, call: Call) -> str | None:
        executor.away = {worker} if isinstance(call, Step) and call.generation == 2 and call.chunk == 2 else set()
        return "payload" if executor.away else None

    executor = SimulatedExecutor(World(), COUNTS, lambda busy: min(busy, key=lambda w: w in executor.away), disturb)
    run(executor.world, [job("a", 6)], executor)
    while any(executor.queues.values()):
        executor.wait(None)
    steps = {worker for worker, call in executor.log if isinstance(call, Step)}
    assert len(steps) == 2
    assert not any(executor.alive[worker].sessions for worker in steps)


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
    assert max(world.stores["a"].checkpoints) == (done - 1, False)
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
    assert video.all_tracked
    assert not video.propagators
    assert not any(isinstance(c, Write) for q in executor.queues.values() for c, _ in q)

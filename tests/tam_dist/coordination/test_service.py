"""Drivers that share a schedule: joined, stopped, refused, and left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from tam_dist.config import load_config
from tam_dist.coordination.calls import Completion, Role
from tam_dist.coordination.events import Event, VideoEnded
from tam_dist.coordination.mailboxes import GivenUpError
from tam_dist.coordination.service import Service
from tam_dist.coordination.video import VideoJob
from tam_dist.errors import ConfigError, TamDistError
from tests.tam_dist.coordination.simulated import SimulatedExecutor, World
from tests.tam_dist.coordination.test_scheduler import COUNTS, config, job


class SlowExecutor(SimulatedExecutor):
    """Takes a millisecond a call, so that drivers can do something meanwhile; ``hold`` stops it."""

    def __init__(self, world: World) -> None:
        super().__init__(world, COUNTS)
        self.news = threading.Event()
        self.hold = threading.Event()
        self.closed = False
        self.provided: list[int] = []

    def provide(self, segments: int) -> None:
        self.provided.append(segments)

    def wake(self) -> None:
        self.news.set()

    def wait(self, timeout: float | None) -> Sequence[Completion]:
        if self.hold.is_set() or not any(self.queues.values()):
            self.news.wait(0.02)
            self.news.clear()
            return []
        time.sleep(0.001)
        return super().wait(timeout)

    def close(self) -> None:
        self.closed = True


class Running:
    """A service in its thread."""

    def __init__(self, *, lease: float = 15.0, detached: bool = False) -> None:
        self.world = World()
        self.executor = SlowExecutor(self.world)
        self.service = Service(self.executor, config(), lease=lease, detached=detached)
        self.thread = threading.Thread(target=self.service.serve, daemon=True)
        self.thread.start()

    def hear(self, driver: str, videos: Sequence[str], seconds: float = 20.0) -> list[Event]:
        """Everything until ``videos`` have ended."""
        heard: list[Event] = []
        open_videos, after, deadline = set(videos), 0, time.monotonic() + seconds
        while open_videos:
            assert time.monotonic() < deadline, f"{open_videos} did not end"
            batch = self.service.events(driver, after, 0.1)
            after = batch.next
            heard.extend(batch.events)
            open_videos -= {e.video for e in batch.events if isinstance(e, VideoEnded)}
        return heard


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.service.shut_down()
    made.thread.join(timeout=10)
    assert made.executor.closed


def test_there_are_workers_for_all_segments_of_a_film(running: Running) -> None:
    """Counted by videos, one film had one propagator however large the cluster."""
    running.service.submit("a", [replace(job("film", 8), segments=5), job("clip", 2)], config())
    assert running.executor.provided == [6]


def jobs(*names: str, chunks: int = 6) -> list[VideoJob]:
    return [job(name, chunks) for name in names]


def test_two_drivers_get_their_own_videos_and_share_the_common_one(running: Running) -> None:
    running.executor.hold.set()
    running.service.submit("one", jobs("a", "b"), config())
    running.service.submit("two", jobs("b", "c"), config())
    running.executor.hold.clear()
    one, two = running.hear("one", "ab"), running.hear("two", "bc")
    assert {e.video for e in one if isinstance(e, VideoEnded)} == {"a", "b"}
    assert {e.video for e in two if isinstance(e, VideoEnded)} == {"b", "c"}
    assert {v: s.masks for v, s in running.world.stores.items()} == {v: running.world.expected(v, 6) for v in "abc"}
    assert running.service.idle
    assert running.service.status().drivers == 2


def test_other_settings_are_refused_with_the_one_that_differs(running: Running) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.decoders=2, not 7"):
        running.service.submit("one", jobs("a"), load_config(["tracking.chunk_size=4", "cluster.decoders=7"]))


def test_a_stopped_video_that_is_asked_for_again_goes_on(running: Running) -> None:
    running.service.submit("one", jobs("a", chunks=40), config())
    while not running.world.stores.get("a") or not running.world.stores["a"].masks:
        time.sleep(0.005)
    running.service.stop(["a"])
    running.service.submit("two", jobs("a", chunks=40), config())
    ended = [e for e in running.hear("two", "a") if isinstance(e, VideoEnded)]
    if ended[-1].state == "stopped":  # it had ended before the second driver came
        running.service.submit("two", jobs("a", chunks=40), config())
        running.hear("two", "a")
    assert running.world.stores["a"].masks == running.world.expected("a", 40)


def test_a_cancellation_may_come_too_late_but_not_for_a_stranger(running: Running) -> None:
    """Sent while the video ended, it ended the whole run."""
    running.service.submit("one", jobs("a", chunks=60), config())
    running.service.cancel("a")
    assert [e.state for e in running.hear("one", "a") if isinstance(e, VideoEnded)] == ["cancelled"]
    for late in (running.service.cancel, running.service.pause, running.service.unpause):
        late("a")
        with pytest.raises(TamDistError, match="b was not submitted"):
            late("b")
    assert running.world.stores["a"].state == "cancelled"


def test_a_video_that_is_cancelled_while_it_is_stopped_is_not_taken_up_again(running: Running) -> None:
    running.executor.hold.set()
    running.service.submit("one", jobs("a", chunks=60), config())
    running.service.stop(["a"])
    running.service.submit("two", jobs("a", chunks=60), config())  # would go on with it after its stop
    running.service.cancel("a")
    running.executor.hold.clear()
    assert [e.state for e in running.hear("two", "a") if isinstance(e, VideoEnded)] in (["stopped"], ["cancelled"])
    assert running.service.idle


def test_without_drivers_it_saves_everything_and_ends() -> None:
    left = Running(lease=2.0)
    left.service.submit("gone", jobs("a", chunks=50_000), config())
    left.thread.join(timeout=60)
    assert not left.thread.is_alive()
    assert left.executor.closed
    store = left.world.stores["a"]
    assert 0 < len(store.masks) < 50_000
    assert max(store.checkpoints) == (len(store.masks) - 1, False)
    with pytest.raises(GivenUpError):
        left.service.submit("late", jobs("a"), config())


def test_detached_it_stays() -> None:
    kept = Running(lease=0.1, detached=True)
    kept.service.submit("gone", jobs("a", chunks=20), config())
    while not kept.service.idle:
        time.sleep(0.01)
    deadline = time.monotonic() + 20
    while kept.service.status().drivers:  # whose mailbox would be filled for ever
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert kept.thread.is_alive()
    assert kept.world.stores["a"].state == "done"
    kept.service.drain()
    kept.thread.join(timeout=10)
    assert not kept.thread.is_alive()


def test_a_bug_in_the_schedule_reaches_the_drivers() -> None:
    broken = Running(lease=0.3)
    broken.executor.queues.pop(next(w for w in broken.executor.queues if w.role is Role.WRITER))
    broken.executor.wait = lambda timeout: (_ for _ in ()).throw(KeyError("lost"))  # type: ignore[method-assign]
    time.sleep(0.1)
    with pytest.raises(TamDistError, match="unexpected KeyError"):
        broken.service.events("one", 0, 0.1)
    broken.thread.join(timeout=10)
    assert broken.executor.closed

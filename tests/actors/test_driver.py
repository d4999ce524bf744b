"""What a driver does while its coordinator is out of reach or dead; the coordinators are stand-ins, without Ray."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from actors import connection, driver, room
from actors.executor import ACTORS
from actors.placement import Node
from tam_dist.config import Config, load_config
from tam_dist.coordination.events import ChunkCommitted, Event, VideoEnded, VideoStarted, Waiting
from tam_dist.coordination.mailboxes import EventBatch
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.errors import ResourceError
from tam_dist.monitoring.requests import Requests
from tam_dist.tracking.spec import VideoGrid

CONFIG = load_config([])
JOB = VideoJob("p", "v", "pyav", VideoGrid(8, 8, 1, 1))
UNREACHABLE = ActorUnavailableError("no route", b"0" * 16)
DEAD = ActorDiedError()


@dataclass
class Coordinator:
    """Raises ``troubles`` one after the other when asked for news, then reports how its video ended."""

    troubles: list[Exception] = field(default_factory=list)
    stopped: bool = False
    cancelled: bool = False
    refreshed: int = 0
    drivers: int = 0

    def submit(self, *_: object) -> None:
        self.drivers += 1

    def stop(self, _: Collection[str]) -> None:
        self.stopped = True

    def cancel(self, _: str) -> None:
        self.cancelled = True

    def refresh(self, _: str) -> None:
        self.refreshed += 1

    def events(self, *_: object) -> EventBatch:
        if self.troubles:
            raise self.troubles.pop(0)
        state = VideoState.STOPPED if self.stopped else VideoState.CANCELLED if self.cancelled else VideoState.DONE
        return EventBatch(0, (VideoEnded("p", state.value, None),))

    @property
    def leave(self) -> Any:
        return type("Remote", (), {"remote": lambda *_: None})


Run = Callable[..., VideoState]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Of one job, with the given coordinators in turn."""
    monkeypatch.setattr(driver, "STOP_POLL_SECONDS", 0.001)
    monkeypatch.setattr(driver, "_POLL_SECONDS", 0.001)

    def track(*coordinators: Coordinator, **options: Any) -> VideoState:
        queue = list(coordinators)
        monkeypatch.setattr(driver, "coordinator", lambda *_, **__: queue.pop(0))
        monkeypatch.setattr(driver._Run, "_call", staticmethod(lambda method, *arguments: method(*arguments)))
        heard: list[Event] = []
        made = driver._Run([JOB], CONFIG, "test", heard.append, False, 1.0, ACTORS)
        (outcome,) = made.until_ended(options.get("stop"), options.get("requests"))
        return outcome.state

    return track


def test_a_coordinator_out_of_reach_for_a_while_is_waited_for(run: Run) -> None:
    """A lost machine's actors are unreachable for half a minute until Ray calls them dead; five tries were over in three."""
    only = Coordinator([UNREACHABLE] * (driver.MAX_COORDINATOR_DEATHS + 3))
    assert run(only) is VideoState.DONE
    assert only.drivers == 1


def test_one_that_stays_out_of_reach_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "MAX_SILENCE_SECONDS", 0.05)
    with pytest.raises(ResourceError, match="was not reached for"):
        run(Coordinator([UNREACHABLE] * 1000))


def test_a_dead_one_is_replaced_and_the_new_one_told_to_stop_too(run: Run) -> None:
    stop = threading.Event()
    stop.set()
    first, second = Coordinator([DEAD]), Coordinator()
    assert run(first, second, stop=stop) is VideoState.STOPPED
    assert (first.stopped, second.stopped) == (True, True)


def test_a_cancellation_survives_the_coordinator_that_did_not_take_it(run: Run) -> None:
    class Deaf(Coordinator):
        def cancel(self, _: str) -> None:
            raise DEAD

    asked = iter([Requests(cancel=frozenset({"p"}))])
    second = Coordinator()
    assert run(Deaf(), second, requests=lambda: next(asked, Requests())) is VideoState.CANCELLED
    assert second.cancelled


def test_a_correction_reaches_the_coordinator(run: Run) -> None:
    asked = iter([Requests(refresh=frozenset({"p"}))])
    only = Coordinator()
    assert run(only, requests=lambda: next(asked, Requests())) is VideoState.DONE
    assert (only.refreshed, only.drivers) == (1, 2)  # it had ended before it could hear of it, for all that the driver knows


def test_a_correction_that_comes_after_the_end_runs_the_video_again(run: Run) -> None:
    asked = iter([Requests(), Requests(refresh=frozenset({"p"}))])
    only = Coordinator()
    assert run(only, requests=lambda: next(asked, Requests())) is VideoState.DONE
    assert (only.refreshed, only.drivers) == (0, 2)


def test_coordinators_that_keep_dying_end_the_run(run: Run) -> None:
    with pytest.raises(ResourceError, match="died 5 times in a row"):
        run(*(Coordinator([DEAD]) for _ in range(driver.MAX_COORDINATOR_DEATHS)))


def test_only_a_new_chunk_makes_deaths_forgiven(run: Run) -> None:
    """Any event did, and a hundred coordinators died one after the other."""

    class Busy(Coordinator):
        new: bool = False

        def events(self, *_: object) -> EventBatch:
            if not self.troubles:
                raise DEAD
            self.troubles.clear()
            return EventBatch(0, (VideoStarted("p", 1, 0, 1, 1), ChunkCommitted("p", 0, 1, 1, new=self.new)))

    class Useful(Busy):
        new = True

    most = driver.MAX_COORDINATOR_DEATHS
    with pytest.raises(ResourceError, match="died 5 times in a row"):
        run(*(Busy([DEAD]) for _ in range(most)))
    assert run(*(Useful([DEAD]) for _ in range(most)), Coordinator()) is VideoState.DONE


def test_room_that_becomes_free_is_waited_for_and_what_is_missing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STOP_POLL_SECONDS", 0.001)
    shape = load_config(["cluster.preset=cpu"]).cluster
    heard: list[Event] = []
    free = iter([[Node("a", 0.5, 0)], [Node("a", 1, 0)], [Node("a", 4, 0)]])
    monkeypatch.setattr(room, "free_nodes", lambda: next(free))
    assert room.wait_for_room(shape, heard.append)
    missing = "the cluster has {} free, but the actors asked for need 1.25"
    told = [f"free resources on the cluster ({missing.format(cpus)})" for cpus in ("0.5 CPUs", "1 CPU")]
    assert heard == [Waiting(each) for each in told]
    monkeypatch.setattr(room, "free_nodes", lambda: [Node("a", 0.5, 0)])
    monkeypatch.setattr(room, "ROOM_SECONDS", 0.01)
    with pytest.raises(ResourceError, match=r"has 0\.5 CPUs free, .*; or wait until others"):
        room.wait_for_room(shape, heard.append)
    stop = threading.Event()
    stop.set()
    assert not room.wait_for_room(shape, heard.append, stop)


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with pytest.raises(ResourceError, match=r"No Ray cluster listens at 127\.0\.0\.1:9 .*--address"):
        connection.check_address("127.0.0.1:9")
    connection.check_address("auto")


class Feed:
    """Brings its jobs one a call."""

    def __init__(self, *names: str) -> None:
        self._jobs = [replace(JOB, project=name) for name in names]

    @property
    def expected(self) -> int:
        return len(self._jobs)

    def take(self, timeout: float | None) -> list[VideoJob]:
        return [self._jobs.pop(0)]


@dataclass
class Submissions(Coordinator):
    """Reports the end of what it was given; ``submit`` fails as ``refusals`` say."""

    refusals: list[Exception | None] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    def submit(self, _: str, jobs: Sequence[VideoJob], __: Config) -> None:
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.given += [job.project for job in jobs]

    def events(self, *_: object) -> EventBatch:
        return EventBatch(0, tuple(VideoEnded(project, VideoState.DONE.value, None) for project in self.given))


@pytest.mark.parametrize(
    "refusals", [([], []), ([None, UNREACHABLE], []), ([None, DEAD], []), ([None, UNREACHABLE, DEAD], [UNREACHABLE])]
)
def test_jobs_that_come_later_reach_whichever_coordinator_there_is(
    refusals: tuple[list[Exception | None], list[Exception | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "STOP_POLL_SECONDS", 0.001)
    monkeypatch.setattr(driver, "_POLL_SECONDS", 0.001)
    coordinators = [Submissions(refusals=each) for each in refusals]
    queue = list(coordinators)
    monkeypatch.setattr(driver, "coordinator", lambda *_, **__: queue[0] if len(queue) == 1 else queue.pop(0))
    monkeypatch.setattr(driver._Run, "_call", staticmethod(lambda method, *arguments: method(*arguments)))
    made = driver._Run([JOB], CONFIG, "test", lambda _: None, False, 1.0, ACTORS, Feed("q", "r"))
    outcomes = made.until_ended(None, None)
    assert [(outcome.project, outcome.state) for outcome in outcomes] == [(name, VideoState.DONE) for name in "pqr"]


def test_folders_of_dead_sessions_are_removed_once_they_are_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = (f"session_2026-01-02_03-04-05_678_{ended.pid}", f"session_1_{os.getpid()}", "x")
    dead, alive, other = (tmp_path / name for name in names)
    for folder in (dead, alive, other):
        folder.mkdir()
    connection.sweep_sessions(tmp_path)
    assert dead.exists()  # its logs may be wanted
    monkeypatch.setattr(connection, "KEEP_SECONDS", -1.0)
    connection.sweep_sessions(tmp_path)
    assert [folder.exists() for folder in (dead, alive, other)] == [False, True, True]

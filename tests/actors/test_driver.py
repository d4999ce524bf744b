"""What a driver does while its coordinator is out of reach or dead; the coordinators are stand-ins, without Ray."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from actors import driver
from actors.executor import ACTORS
from tam_dist.config import Config, load_config
from tam_dist.coordination.events import Event, VideoEnded
from tam_dist.coordination.mailboxes import EventBatch
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.errors import ResourceError
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
    drivers: int = 0

    def submit(self, *_: object) -> None:
        self.drivers += 1

    def stop(self, _: Collection[str]) -> None:
        self.stopped = True

    def cancel(self, _: str) -> None:
        self.cancelled = True

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
        (outcome,) = made.until_ended(options.get("stop"), options.get("cancelled"))
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

    asked = iter([["p"]])
    second = Coordinator()
    assert run(Deaf(), second, cancelled=lambda: next(asked, [])) is VideoState.CANCELLED
    assert second.cancelled


def test_coordinators_that_keep_dying_end_the_run(run: Run) -> None:
    with pytest.raises(ResourceError, match="died 5 times in a row"):
        run(*(Coordinator([DEAD]) for _ in range(driver.MAX_COORDINATOR_DEATHS)))


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with pytest.raises(ResourceError, match=r"No Ray cluster listens at 127\.0\.0\.1:9 .*--address"):
        driver._check_address("127.0.0.1:9")
    driver._check_address("auto")


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

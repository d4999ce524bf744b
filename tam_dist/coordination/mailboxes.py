"""What happened, kept for each driver until it has heard of it; and whether any driver is still there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tam_dist.coordination.events import Event
from tam_dist.errors import TamDistError

log = logging.getLogger(__name__)


class GivenUpError(TamDistError):
    """The driver was silent for longer than its lease, as after a long standstill of its machine; it may join again."""


@dataclass(frozen=True)
class EventBatch:
    """``events`` from number ``first`` on; the next request acknowledges them by ``first + len(events)``."""

    first: int
    events: tuple[Event, ...]

    @property
    def next(self) -> int:
        return self.first + len(self.events)


@dataclass
class _Mailbox:
    videos: set[str]
    heard: float
    first: int
    events: list[Event]


class Mailboxes:
    """What each driver has not heard yet. Bounded, because a driver that does not ask for ``lease`` seconds is given up."""

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._boxes: dict[str, _Mailbox] = {}
        self._news = threading.Condition()
        self._quiet_since = clock()

    def give_up_the_silent(self) -> None:
        """To be called now and then: mailboxes that nobody empties grow for ever otherwise."""
        with self._news:
            now = self._clock()
            for driver in [d for d, box in self._boxes.items() if now - box.heard > self._lease]:
                log.warning("driver %s was not heard of for %.0f s and is given up", driver, self._lease)
                del self._boxes[driver]
            if self._boxes:
                self._quiet_since = now

    @property
    def alive(self) -> bool:
        """Whether there is a driver, or was one within the lease."""
        with self._news:
            return bool(self._boxes) or self._clock() - self._quiet_since <= self._lease

    @property
    def count(self) -> int:
        return len(self._boxes)

    def join(self, driver: str, videos: Sequence[str]) -> None:
        with self._news:
            box = self._boxes.setdefault(driver, _Mailbox(set(), 0.0, 0, []))
            box.videos.update(videos)
            box.heard = self._clock()

    def leave(self, driver: str) -> None:
        with self._news:
            self._boxes.pop(driver, None)

    def put(self, event: Event) -> None:
        video = getattr(event, "video", None)
        with self._news:
            for box in self._boxes.values():
                if video is not None and video not in box.videos:
                    continue
                box.events.append(event)
            if video is not None:
                self._news.notify_all()

    def take(self, driver: str, after: int, timeout: float) -> EventBatch:
        """Events number ``after`` and later; the earlier ones are forgotten."""
        with self._news:
            box = self._boxes.get(driver)
            if box is None:
                raise GivenUpError("The coordinator has given this driver up because it was silent for too long: submit again.")
            box.heard = self._clock()
            del box.events[: after - box.first]
            box.first = after
            if not box.events:
                self._news.wait(timeout)
                box.heard = self._clock()
            return EventBatch(box.first, tuple(box.events))

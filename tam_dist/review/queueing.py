"""Who looks at which suggested frame, so that no two people are sent to the same one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

#: Seconds that a frame stays a person's without a sign of life from the page.
HOLDS = 45.0
#: Pages of which it is remembered what they passed over; every reload is a new one.
_MOST_PAGES = 1000


@dataclass(frozen=True)
class Spot:
    """An object in a frame of a project."""

    project: str
    frame: int
    object: str


@dataclass
class Claims:
    """Of all people at one pane. ``page`` is one tab of one of them. They live with the pane: after a restart nobody is on
    any frame.
    """

    clock: Callable[[], float] = time.monotonic
    _claims: dict[str, tuple[Spot, float]] = field(default_factory=dict)
    _passed: dict[str, set[Spot]] = field(default_factory=dict)
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def free(self, page: str, spots: Iterable[Spot], *, apart: int) -> list[Spot]:
        """Those of ``spots``, in order, that this page has not passed over and that no other page is at, nor within ``apart``
        frames of.
        """
        with self._changing:
            others = self._others(page)
            passed = self._passed.get(page, set())
            return [s for s in spots if s not in passed and not any(_near(s, other, apart) for other in others)]

    def claim(self, page: str, spot: Spot, *, apart: int) -> bool:
        """Whether ``page`` has it now; it then leaves the one it had."""
        with self._changing:
            if any(_near(spot, other, apart) for other in self._others(page)):
                return False
            self._claims[page] = (spot, self.clock() + HOLDS)
            return True

    def pass_over(self, page: str, spot: Spot) -> None:
        """Not to be offered to this page again."""
        with self._changing:
            self._passed.setdefault(page, set()).add(spot)
            if len(self._passed) > _MOST_PAGES:
                del self._passed[next(iter(self._passed))]
            self._drop(page, spot)

    def release(self, page: str) -> None:
        with self._changing:
            self._claims.pop(page, None)

    def keep(self, page: str) -> None:
        """A sign of life."""
        with self._changing:
            if page in self._claims:
                self._claims[page] = (self._claims[page][0], self.clock() + HOLDS)

    def pages(self) -> int:
        """How many are at a suggestion now."""
        with self._changing:
            return len(self._others(None))

    def _others(self, page: str | None) -> list[Spot]:
        now = self.clock()
        for other, (_, until) in list(self._claims.items()):
            if until <= now:
                del self._claims[other]
        return [spot for other, (spot, _) in self._claims.items() if other != page]

    def _drop(self, page: str, spot: Spot) -> None:
        if page in self._claims and self._claims[page][0] == spot:
            del self._claims[page]


def _near(one: Spot, other: Spot, apart: int) -> bool:
    return one.project == other.project and abs(one.frame - other.frame) < apart

"""The shape all workers share."""

from __future__ import annotations

import time
from typing import Protocol

from tam_dist.coordination.calls import Call, Payload, Receipt


class Worker(Protocol):
    """Answers calls one at a time. A worker may be replaced by a fresh one at any moment; it keeps nothing that cannot be
    rebuilt.
    """

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        """The call's receipt and payload (None where it has none). Raises :class:`TamDistError` for what is wrong with a
        video.
        """
        ...

    def close(self) -> None: ...


class Stopwatch:
    """Seconds since it was made.

    >>> Stopwatch().seconds >= 0
    True
    """

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start


def unexpected(worker: Worker, call: Call) -> TypeError:
    """For a call of another role: a bug of the scheduler, not of a video."""
    return TypeError(f"{type(worker).__name__} got {type(call).__name__}")

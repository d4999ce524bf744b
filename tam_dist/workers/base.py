"""What all workers use."""

from __future__ import annotations

import time

from tam_dist.coordination.calls import Call, Worker


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

"""Ctrl-C: once to finish the chunks under way and save, twice to leave at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tam_dist.cli.output import say
from tam_dist.errors import ExitCode


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the process. What is committed is safe either way."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            say("stopped at once; the project is intact up to its last committed chunk")
            os._exit(ExitCode.INTERRUPTED)
        say("stopping after the chunk under way; press Ctrl-C again to stop at once")
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

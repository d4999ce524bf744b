"""Ctrl-C: once to finish the chunks under way and save, twice to leave at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tam_dist.cli.output import is_terminal, say
from tam_dist.errors import ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the process. What is committed is safe either way.

    A thread hears of them: a handler would wait until the main thread comes back from whatever library it is in, which in
    Ray's start took 11 s.
    """
    stop = threading.Event()
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = {number: signal.signal(number, _nothing) for number in _SIGNALS}
    others = signal.set_wakeup_fd(told)
    threading.Thread(target=_listen, args=(heard, stop), name="interrupt", daemon=True).start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(others)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(told)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Python writes a signal's number to the pipe only where there is a handler."""


def _listen(heard: int, stop: threading.Event) -> None:
    while numbers := os.read(heard, 16):
        for number in numbers:
            if number not in _SIGNALS:
                continue
            if stop.is_set():
                _leave()
            say("stopping after the chunk under way; press Ctrl-C again to stop at once")
            stop.set()
    os.close(heard)


def _leave() -> None:
    if is_terminal():
        sys.stderr.write(_SHOW_CURSOR + "\n")  # a display that was being redrawn had hidden it
    say("stopped at once; the project is intact up to its last committed chunk")
    os._exit(ExitCode.INTERRUPTED)

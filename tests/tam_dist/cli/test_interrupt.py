"""Ctrl-C twice leaves at once, whatever the main thread is in, and gives the terminal back."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable

from tam_dist.errors import ExitCode

#: Minutes in one call of C code, which lets other threads run and looks for no signal, as Ray's start does.
BUSY = """
import hashlib, sys
from tam_dist.cli.interrupt import stop_on_interrupt
with stop_on_interrupt():
    print("ready", file=sys.stderr, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)
"""


def reader(terminal: int) -> Callable[[bytes], bytes]:
    """Reads from a terminal until some words have come."""
    seen = bytearray()

    def until(words: bytes) -> bytes:
        while words not in seen:
            try:
                seen.extend(os.read(terminal, 1000))
            except OSError as error:  # how Linux tells that the other side is closed
                raise AssertionError(bytes(seen)) from error
        return bytes(seen)

    return until


def test_the_second_ctrl_c_ends_a_process_that_does_not_listen() -> None:
    terminal, child_side = pty.openpty()
    environment = os.environ | {"TERM": "xterm"}
    child = subprocess.Popen([sys.executable, "-c", BUSY], stderr=child_side, env=environment)
    os.close(child_side)
    until = reader(terminal)
    try:
        until(b"ready")
        child.send_signal(signal.SIGTERM)
        until(b"stopping after the chunk under way")
        child.send_signal(signal.SIGINT)
        assert b"\x1b[?25h" in until(b"stopped at once")
        assert child.wait(timeout=60) == ExitCode.INTERRUPTED
    finally:
        child.kill()
        os.close(terminal)

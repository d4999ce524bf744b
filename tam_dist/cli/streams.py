"""The standard streams as a command may find them: closed, full, or in an encoding that lacks half of all letters."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

from tam_dist.errors import ConfigError


def prepare_streams() -> None:
    """Make all three usable, whatever the process was started with.

    A closed one is opened on the null device, also for the libraries below: the next file opened would get its number
    otherwise, and their messages. What the terminal's encoding lacks is written as an escape; standard input is UTF-8, as the
    corpora are that come through it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream, errors="backslashreplace")
    _reconfigure(sys.stdin, encoding="utf-8", errors="strict")


def finish_streams() -> None:
    """Write out what is buffered; a stream that takes nothing gets the null device, lest Python complain as it ends."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


@contextmanager
def silent_libraries(silent: bool = True) -> Iterator[None]:
    """Where ``silent``, what libav, decord, OpenCV and Ray write by themselves, to the process's second file, goes nowhere,
    while ``sys.stderr`` leads where it led.
    """
    if not silent:
        yield
        return
    before, saved = sys.stderr, os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    before.flush()
    with suppress(OSError, ValueError):  # a test's stand-in has no number
        if before.fileno() == 2:
            sys.stderr = open(saved, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        sys.stderr = before
        os.close(saved)
        os.close(null)


def check_arguments(arguments: list[str]) -> None:
    """Raise :class:`ConfigError` for a word that this process could not read, in the words of whoever can change that."""
    for word in arguments:
        if any(0xD800 <= ord(c) <= 0xDFFF for c in word):
            encoding = sys.getfilesystemencoding()
            remedy = "rename it" if encoding == "utf-8" else "set LC_ALL=C.UTF-8 and unset PYTHONUTF8"
            raise ConfigError(f"{os.fsencode(word)!r} is not text in the encoding of this process, {encoding}: {remedy}.")


def _reconfigure(stream: TextIO, **options: str) -> None:
    reconfigure = getattr(cast(object, stream), "reconfigure", None)
    if reconfigure is not None:
        reconfigure(**options)

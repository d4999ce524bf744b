"""Where text goes: results to standard output, everything about the run to standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from typing import Any

from tam_dist.errors import StorageError
from tam_dist.logs import is_json

_log = logging.getLogger(__name__)


def say(text: str = "") -> None:
    """A line for the person at the terminal, or of the log where that is JSON. Where nobody can be told, work goes on."""
    if is_json():
        if text:
            _log.info(text)
        return
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def result(text: str) -> None:
    """A line of the command's result. Raises :class:`StorageError` where standard output takes no more."""
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:  # the reader has gone, as `head` does
        raise
    except OSError as error:
        raise StorageError(f"The result can't be written to standard output: {error.strerror or error}.") from error


def result_json(data: dict[str, Any] | list[Any]) -> None:
    """The command's result as one line of JSON."""
    result(json.dumps(data, ensure_ascii=False))


def is_terminal() -> bool:
    """Whether standard error is a terminal that lines can be redrawn on, and not for machines."""
    return not is_json() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def count(number: int, noun: str) -> str:
    """
    >>> count(1, "object"), count(2000, "object")
    ('1 object', '2000 objects')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clock(seconds: float) -> str:
    """
    >>> clock(65), clock(3723.4)
    ('1:05', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

"""Logs as JSON lines, for machines that collect them: one object a line on standard error.

Every line has ``time`` (UTC, ISO 8601), ``level``, ``logger`` and ``message``; those of a run's events also the fields of
:mod:`tam_dist.monitoring.event_log`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum

from tam_dist.errors import ConfigError

OPTION = "--log-format"
#: Tells processes that read no command line, as workers of a cluster, what ``--log-format`` tells a command.
VARIABLE = "TAM_DIST_LOG_FORMAT"
#: The root of what our modules log; the other two packages are named as they are imported.
_LOGGERS = ("tam_dist", "actors", "storage")

Field = str | int | float | bool


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class JsonFormatter(logging.Formatter):
    """``extra={"fields": {…}}`` of a record becomes fields of the object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Field] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _CurrentStandardError(logging.Handler):
    """To where ``sys.stderr`` leads when a line is written, which libraries' silencing changes."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # where nobody can be told, the work goes on all the same


def is_json() -> bool:
    """Whether this process was told to log as JSON."""
    return os.environ.get(VARIABLE) == LogFormat.JSON


def parse_format(name: str) -> LogFormat:
    """Raises :class:`ConfigError`."""
    try:
        return LogFormat(name)
    except ValueError:
        raise ConfigError(f"{name!r} is no format of logs: text or json.") from None


def set_up_logs() -> None:
    """Have this process log as :data:`VARIABLE` asks; as text Python's own way stays: warnings, on standard error. Raises
    :class:`ConfigError` for another format.
    """
    parse_format(os.environ.get(VARIABLE) or LogFormat.TEXT)
    if not is_json() or any(isinstance(handler, _CurrentStandardError) for handler in logging.getLogger().handlers):
        return
    handler = _CurrentStandardError()
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)

"""``state.json``: what became of a project's last run, as its writer put it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Literal, get_args

from storage.location import Location
from storage.lock import Holder
from storage.prompt_log import LOG_VERSION
from tam_dist.errors import SchemaError
from tam_dist.types import TrackedObject

RunState = Literal["running", "done", "failed", "cancelled"]
STATE = "state.json"


@dataclass(frozen=True)
class ProjectStatus:
    """``state``: "new" before the first run, "interrupted" where it was running and nobody writes it any more; ``reason`` is
    the sentence given with the state; ``changed`` is when that was, seconds since the epoch, None if new.
    """

    state: RunState | Literal["new", "interrupted"]
    reason: str
    changed: float | None
    frames_total: int
    frames_done: int
    objects: tuple[TrackedObject, ...]
    writer: Holder | None


def write_state(project: Location, state: RunState, reason: str) -> None:
    fields = {"state": state, "reason": reason, "time": time.time(), "log": LOG_VERSION}
    (project / STATE).write(json.dumps(fields).encode())


def log_version(project: Location) -> int:
    """Up to which version of the prompt log the last writer reads. Raises :class:`SchemaError` as :func:`read_state` does."""
    read_state(project)
    return int(json.loads((project / STATE).read() or b"{}").get("log", 1))


def read_state(project: Location) -> tuple[RunState | Literal["new"], str, float | None]:
    """(state, reason, time). Raises :class:`SchemaError` where the file is damaged."""
    where = project / STATE
    data = where.read()
    if data is None:
        return "new", "", None
    try:
        fields = json.loads(data)
        if fields["state"] not in get_args(RunState):
            raise ValueError(fields["state"])
        return fields["state"], str(fields["reason"]), float(fields["time"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise SchemaError(f"{where} is damaged: remove it and run tam-dist resume.") from error

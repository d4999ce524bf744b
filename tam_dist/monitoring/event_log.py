"""A run's events as log records, which are lines of JSON where logs are (:mod:`tam_dist.logs`), with these fields besides.

``event`` (waiting, started, committed, replayed, worker_died, ended), ``video`` (its project's location), ``pass`` (its
direction and chunks, as ``forward 0..41``), ``generation`` (its session's; another one after each replay), ``chunk``,
``frames``, ``frames_done``, ``new`` (false for a chunk that a replay only repeated), ``worker``, ``because``, ``state``,
``error``.
"""

from __future__ import annotations

import logging

from tam_dist.coordination.events import (
    ChunkCommitted,
    Event,
    VideoEnded,
    VideoReplayed,
    VideoStarted,
    Waiting,
    WorkerDied,
)
from tam_dist.logs import Field

_log = logging.getLogger(__name__)


class EventLog:
    """A listener: tells what happened to videos. Nobody hears of it unless logs are JSON."""

    def __init__(self) -> None:
        self._waiting_for = ""

    def __call__(self, event: Event) -> None:
        if not _log.isEnabledFor(logging.INFO):
            return
        match event:
            case Waiting():
                if event.what != self._waiting_for:  # it is told again while it goes on
                    _tell("waiting", f"waiting for {event.what}")
                self._waiting_for = event.what
            case VideoStarted():
                _tell("started", "tracking", event, frames_done=event.frames_done, chunk=event.next_chunk)
            case ChunkCommitted():
                done = {"frames": event.frames, "frames_done": event.frames_done, "new": event.new}
                _tell("committed", "chunk stored", event, chunk=event.chunk, **done)
            case WorkerDied():
                _tell("worker_died", "a worker died", event, level=logging.WARNING, worker=str(event.worker))
            case VideoReplayed():
                because = str(event.because)
                _tell(
                    "replayed",
                    "going back to the newest checkpoint",
                    event,
                    logging.WARNING,
                    chunk=event.chunk,
                    because=because,
                )
            case VideoEnded(error=None):
                _tell("ended", event.state, event, state=event.state)
            case VideoEnded():
                _tell("ended", event.state, event, logging.ERROR, state=event.state, error=str(event.error))


def _tell(name: str, message: str, event: Event | None = None, level: int = logging.INFO, **fields: Field) -> None:
    about: dict[str, Field] = {"event": name}
    if (video := getattr(event, "video", None)) is not None:
        about["video"] = video
    if (session := getattr(event, "session", None)) is not None:
        about |= {"pass": str(session), "generation": session.generation}
    _log.log(level, message, extra={"fields": about | fields})

"""A run that is stopped again and again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import tam_dist
from tam_dist.coordination.events import ChunkCommitted, Event
from tam_dist.errors import RunInterruptedError
from tam_dist.types import Prompt

#: More starts than any of the tests' videos has chunks.
_MOST = 20


def track_in_pieces(
    video: Path, prompts: Sequence[Prompt], out: Path, settings: Sequence[str], *, after: type[Event] = ChunkCommitted
) -> tuple[tam_dist.Project, list[Event]]:
    """Stop ``after`` each such event, and resume, until it is done. Returns the project and all events."""
    events: list[Event] = []
    for _ in range(_MOST):
        stop = threading.Event()

        def listen(event: Event, stop: threading.Event = stop) -> None:
            events.append(event)
            if isinstance(event, after):
                stop.set()

        try:
            if out.exists():
                tam_dist.resume(out, listener=listen, stop=stop)
            else:
                tam_dist.track(video, prompts, out=out, settings=settings, listener=listen, stop=stop)
            break
        except RunInterruptedError:
            continue
    return tam_dist.Project.open(out), events

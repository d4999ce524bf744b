"""What the commands that change what is asked of a project have in common: they say so, and track where nobody does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.output import count, result, result_json

if TYPE_CHECKING:
    from tam_dist.steering import Acknowledged

Where = Annotated[str, typer.Argument(help="The project's folder or URL.", metavar="PROJECT")]
Later = Annotated[
    bool, typer.Option("--later", help="Only note it: do not track now where no run is under way. tam-dist resume does.")
]


@dataclass(frozen=True)
class Tracking:
    """How to track what was asked, where no run is under way; ``nothing_due``: it changes no mask."""

    later: bool
    executor: str = "auto"
    address: str | None = None
    settings: Sequence[str] = ()
    as_json: bool = False
    quiet: bool = False
    nothing_due: bool = False


def acknowledge(where: str, done: str, answer: Acknowledged, tracking: Tracking) -> int:
    """Say what was ``done``, at once, since nothing can lose it any more; then track. With ``--json`` each is a line."""
    if tracking.as_json:
        result_json({"project": where, "done": done, **asdict(answer)})
    elif tracking.nothing_due or not (answer.live or tracking.later):
        result(done)
    else:
        result(f"{done}; {'the run under way takes it up' if answer.live else f'tam-dist resume {where} tracks it'}")
    if not (answer.live or tracking.later or tracking.nothing_due):
        track(where, tracking)
    return 0


def track(where: str, tracking: Tracking) -> None:
    """Bring the project's masks up to date."""
    from storage.project_store import ProjectStore
    from tam_dist.cli.single import run_one
    from tam_dist.coordination.events import ChunkCommitted, Event
    from tam_dist.due import due_work
    from tam_dist.preparation import continue_project

    frames = 0

    def listen(event: Event) -> None:
        nonlocal frames
        frames += event.frames if isinstance(event, ChunkCommitted) else 0

    start = time.monotonic()
    work = due_work(ProjectStore.open(where, write=False))
    if work.missing or work.stale:  # else: of another name, or of what was undone before it was tracked
        job, config = continue_project(where, tracking.settings)
        run_one(job, config, tracking.executor, tracking.address, quiet=tracking.quiet, listener=listen)
    seconds = time.monotonic() - start
    if tracking.as_json:
        result_json({"project": where, "tracked": frames, "seconds": round(seconds, 3)})
    else:
        result(f"tracked {count(frames, 'frame')} in {seconds:.1f} s")

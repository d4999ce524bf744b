"""``tam-dist log`` and ``watch``: what was asked of a project, and what happens in it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import count, result, result_json
from tam_dist.cli.steering import Where

if TYPE_CHECKING:
    from tam_dist.steering import Change, StateChanged


@app.command()
def log(project: Where, as_json: Json = False) -> int:
    """List who asked for what and when, whether it is in force, and what was tracked again for it."""
    from dataclasses import asdict

    from tam_dist.steering import history

    found = history(project)
    if as_json:
        result_json([asdict(entry) for entry in found])
        return 0
    for entry in found:
        when = datetime.fromtimestamp(entry.time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        effect = ""
        if entry.frames:
            effect = f"  [{count(entry.frames, 'frame')} tracked again, {100 * entry.share:.2g} % of their pixels changed]"
        result(f"{when}  {entry.author}  {entry.asked}{'' if entry.in_force else '  (taken back)'}{effect}")
    return 0


@app.command()
def watch(
    project: Where,
    since: Annotated[int, typer.Option(help="Go on behind the change of this number.", min=0, metavar="NUMBER")] = 0,
    until_done: Annotated[bool, typer.Option("--until-done", help="End when everything is tracked.")] = False,
    as_json: Json = False,
) -> int:
    """Tell what happens in a project as it happens: chunks tracked, what is asked, and its state. Ctrl-C ends it."""
    from dataclasses import asdict

    from tam_dist.steering import StateChanged
    from tam_dist.steering import watch as changes

    for change in changes(project, since=since):
        if as_json:
            result_json(asdict(change))
        else:
            result(_line(change))
        if until_done and isinstance(change, StateChanged) and _is_done(change):
            break
    return 0


def _is_done(state: StateChanged) -> bool:
    return state.state != "running" and state.frames_done == state.frames_total and not state.stale


def _line(change: Change) -> str:
    from tam_dist.steering import Asked, ChunkTracked

    match change:
        case ChunkTracked():
            again = "" if change.revision == 1 else f", revision {change.revision}"
            return f"frames {change.first}..{change.last}{again}"
        case Asked():
            return f"{change.author}: {change.asked}"
    stale = ", ".join(f"{first}..{last}" for first, last in change.stale)
    rest = f", to be tracked again: {stale}" if stale else ""
    reason = f" ({change.reason})" if change.reason else ""
    return f"{change.state}{reason}: {change.frames_done} of {count(change.frames_total, 'frame')}{rest}"

"""``tam-dist lock``, ``unlock`` and ``retrack``: which masks are to stay, and which are to be made anew."""

from __future__ import annotations

from typing import Annotated

import typer

from tam_dist.cli.app import Address, Executor, Json, Quiet, app
from tam_dist.cli.steering import Later, Tracking, Where, acknowledge

Frame = Annotated[int, typer.Argument(help="The frame's number, from 0.", metavar="FRAME", min=0)]
Objects = Annotated[
    list[str] | None, typer.Option("--object", help="Only this one. Repeatable.", metavar="NAME", show_default=False)
]


@app.command()
def lock(
    project: Where,
    frame: Frame,
    objects: Objects = None,
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Keep a frame's masks as they are, whatever is corrected elsewhere. What is tracked again is tracked with them in view."""
    from tam_dist.steering import lock as ask

    answer = ask(project, frame, objects=objects)
    return acknowledge(project, f"locked frame {frame}", answer, Tracking(later, executor, address, (), as_json, quiet))


@app.command()
def unlock(
    project: Where,
    frame: Frame,
    objects: Objects = None,
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Let a locked frame be tracked like any other again."""
    from tam_dist.steering import unlock as ask

    answer = ask(project, frame, objects=objects)
    return acknowledge(project, f"unlocked frame {frame}", answer, Tracking(later, executor, address, (), as_json, quiet))


@app.command()
def retrack(
    project: Where,
    frames: Annotated[str, typer.Argument(help="FIRST..LAST, both included.", metavar="FRAMES")],
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Track frames anew with all corrections given elsewhere since, which they were spared."""
    from tam_dist.prompts import parse_frames
    from tam_dist.steering import retrack as ask

    answer = ask(project, *parse_frames(frames))
    done = f"asked for frames {frames} anew"
    return acknowledge(project, done, answer, Tracking(later, executor, address, (), as_json, quiet))

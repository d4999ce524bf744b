"""``tam-dist add``, ``remove`` and ``rename``: the objects of a project that was begun."""

from __future__ import annotations

from typing import Annotated

import typer

from tam_dist.cli.app import Address, Executor, Json, Quiet, app
from tam_dist.cli.steering import Later, Tracking, Where, acknowledge

Name = Annotated[str, typer.Argument(help="The object's name.", metavar="NAME")]


@app.command()
def add(
    project: Where,
    name: Name,
    click: Annotated[
        list[str] | None,
        typer.Option(help="FRAME:X,Y on the object, FRAME:X,Y,- beside it. Repeatable.", metavar="CLICK"),
    ] = None,
    box: Annotated[list[str] | None, typer.Option(help="FRAME:X0,Y0,X1,Y1. Repeatable.", metavar="BOX")] = None,
    absent: Annotated[
        list[str] | None,
        typer.Option(help="FIRST..LAST: not in the picture in these frames. Repeatable.", metavar="ABSENCE"),
    ] = None,
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Track another object too, from a click or a box on any frame."""
    from tam_dist.prompts import collect
    from tam_dist.steering import add_object

    clicks, boxes, absences = ([f"{name}@{text}" for text in given or ()] for given in (click, box, absent))
    answer = add_object(project, name, collect(clicks=clicks, boxes=boxes, absences=absences))
    return acknowledge(project, f"added {name!r}", answer, Tracking(later, executor, address, (), as_json, quiet))


@app.command()
def remove(
    project: Where,
    name: Name,
    frames: Annotated[str | None, typer.Argument(help="In these frames only: FIRST..LAST.", metavar="FRAMES")] = None,
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say that an object is not there, in some frames or in all: its masks become empty."""
    from tam_dist.prompts import parse_frames
    from tam_dist.steering import remove_object

    answer = remove_object(project, name, None if frames is None else parse_frames(frames))
    done = f"removed {name!r}" if frames is None else f"removed {name!r} in frames {frames}"
    return acknowledge(project, done, answer, Tracking(later, executor, address, (), as_json, quiet))


@app.command()
def rename(
    project: Where,
    old: Annotated[str, typer.Argument(help="The object's name.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="Its name from now on.", metavar="NEW")],
    as_json: Json = False,
) -> int:
    """Call an object otherwise. Nothing is tracked again."""
    from tam_dist.steering import rename_object

    answer = rename_object(project, old, new)
    return acknowledge(project, f"{old!r} is {new!r} now", answer, Tracking(True, as_json=as_json, nothing_due=True))

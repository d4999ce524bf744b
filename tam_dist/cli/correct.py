"""``tam-dist correct``, ``undo`` and ``redo``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tam_dist.cli.app import (
    Absences,
    Address,
    Boxes,
    Clicks,
    Executor,
    Json,
    Labels,
    PromptFiles,
    Quiet,
    Settings,
    app,
)
from tam_dist.cli.steering import Later, Tracking, Where, acknowledge
from tam_dist.errors import PromptError


@app.command()
def correct(
    project: Where,
    settings: Settings = None,
    click: Clicks = None,
    box: Boxes = None,
    labels: Labels = None,
    absent: Absences = None,
    prompts: PromptFiles = None,
    seen: Annotated[
        list[str] | None,
        typer.Option(
            help="FRAME=REVISION of the masks that you looked at; others are not corrected. Repeatable.", metavar="SEEN"
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Instead of what was given for these objects on these frames before.")
    ] = False,
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Correct objects on any frame, while the project is tracked or later. What is given together is one action.

    It is kept from the moment that this is said. Only what it can change is tracked again.
    """
    from tam_dist.prompts import collect
    from tam_dist.steering import correct as ask

    given = collect(clicks=click or (), boxes=box or (), labels=labels or (), absences=absent or (), files=prompts or ())
    answer = ask(project, given, replace_given=replace, seen=_revisions(seen or ()) or None)
    places = dict.fromkeys(f"{prompt.object_name!r} on frame {prompt.frame}" for prompt in given)
    tracking = Tracking(later, executor, address, settings or (), as_json, quiet)
    return acknowledge(project, f"corrected {', '.join(places)}", answer, tracking)


@app.command()
def undo(
    project: Where,
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Take back what was asked last of a project, whoever did: a correction, an object, a lock, a name."""
    from tam_dist.steering import undo as ask

    answer = ask(project)
    done = "took back what was asked last"
    return acknowledge(project, done, answer, Tracking(later, executor, address, (), as_json, quiet))


@app.command()
def redo(
    project: Where,
    later: Later = False,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Ask again for what was taken back last, unless something else was asked since."""
    from tam_dist.steering import redo as ask

    answer = ask(project)
    return acknowledge(
        project, "asked again for what was taken back last", answer, Tracking(later, executor, address, (), as_json, quiet)
    )


def _revisions(texts: list[str] | tuple[str, ...]) -> dict[int, int]:
    found = {}
    for text in texts:
        match = re.fullmatch(r"([0-9]{1,12})=([0-9]{1,12})", text.strip())
        if match is None:
            raise PromptError(f"--seen {text!r} is no revision of a frame: write 120=1.")
        found[int(match[1])] = int(match[2])
    return found

"""``tam-dist cancel``: end a run, or some of its videos, from another terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from tam_dist.cli.app import app
from tam_dist.cli.output import result


@app.command()
def cancel(
    where: Annotated[str, typer.Argument(help="A project, or the folder of a run.", metavar="PROJECT|FOLDER")],
    video: Annotated[
        list[str] | None, typer.Option("--video", help="Only this one, by its project's name. Repeatable.", metavar="NAME")
    ] = None,
) -> None:
    """End videos that are being tracked. What is committed stays; running them again goes on from there."""
    from tam_dist.monitoring.cancelling import cancel as ask

    names = ask(where, video)
    result(f"asked to cancel {', '.join(names)}")

"""``tam-dist review``: the pane in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from tam_dist.cli.app import Address, app
from tam_dist.cli.output import say


@app.command()
def review(
    where: Annotated[
        str, typer.Argument(help="A project, or a folder of projects such as that of a run.", metavar="[PROJECT|FOLDER]")
    ] = "runs",
    host: Annotated[str, typer.Option(help="Address to listen on; any but 127.0.0.1 needs a password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 7860,
    password_file: Annotated[
        str | None,
        typer.Option(
            help="A file whose first line is the password that all log in with; else TAM_DIST_REVIEW_PASSWORD.", metavar="FILE"
        ),
    ] = None,
    videos: Annotated[
        list[str] | None,
        typer.Option(help="A folder that new videos may be opened from. Repeatable.", metavar="FOLDER"),
    ] = None,
    address: Address = None,
) -> None:
    """Look at masks in a browser, correct them while they are tracked, and go through the frames that need a look."""
    from tam_dist.review.serving import make_pane, serve

    pane = make_pane(where, host=host, password_file=password_file, videos=videos or (), address=address)
    serve(pane, host, port, ready=lambda url: say(f"review pane at {url} (Ctrl-C ends it; what is being tracked goes on)"))

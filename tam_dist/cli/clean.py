"""``tam-dist clean``: remove what finished projects keep for later corrections."""

from __future__ import annotations

from typing import Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import result, result_json, say


@app.command()
def clean(
    where: Annotated[str, typer.Argument(help="A project, or a folder of projects.", metavar="PROJECT|FOLDER")],
    keep_bytes: Annotated[int, typer.Option(min=0, help="Of each project's checkpoints keep up to so many bytes.")] = 0,
    as_json: Json = False,
) -> None:
    """Remove checkpoints of finished projects. Masks and prompts stay; a later correction then tracks from the start."""
    from dataclasses import asdict

    from tam_dist.cleaning import clean as remove

    cleaned = remove(where, keep_bytes)
    if as_json:
        result_json([asdict(each) for each in cleaned])
        return
    for each in cleaned:
        if each.left_alone is not None:
            say(f"{each.project} is left alone: {each.left_alone}")
    result(f"{sum(each.freed for each in cleaned) / 1e6:.1f} MB freed in {len(cleaned)} projects")

"""``tam-dist propose``: objects of a frame as a file of prompts, to be named and given to ``tam-dist track``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tam_dist.cli.app import Json, Settings, app
from tam_dist.cli.output import count, result, result_json


@app.command("propose")
def propose_command(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A file, a folder of images, or a URL.")],
    settings: Settings = None,
    frame: Annotated[int, typer.Option(metavar="FRAME", help="The frame to look at.")] = 0,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder; default VIDEO-prompts.")
    ] = None,
    most: Annotated[int, typer.Option(metavar="N", help="At most so many objects, the surest.")] = 20,
    grid: Annotated[int, typer.Option(metavar="N", help="Points across and down; more find smaller objects.")] = 16,
    score: Annotated[float, typer.Option(metavar="0..1", help="How sure SAM must be.")] = 0.6,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier proposal at --out.")] = False,
    as_json: Json = False,
) -> int:
    """Find objects without any prompt: prompts.json to edit, their masks, and preview.png, which shows them."""
    from tam_dist.config import load_config
    from tam_dist.errors import ExportError
    from tam_dist.preparation import settle
    from tam_dist.proposal_files import propose_file
    from tam_dist.propose import ProposalRules

    if most < 1 or not 1 <= grid <= 64 or not 0 <= score <= 1:
        raise ExportError("--most must be 1 or more, --grid 1 to 64 and --score 0 to 1.")
    config = settle(load_config(settings or []))
    place = Path(out or f"{Path(video.rstrip('/')).stem}-prompts")
    rules = ProposalRules(grid=grid, score=score, most=most)
    found = propose_file(video, frame, place, config, rules, replace=replace)
    if as_json:
        result_json({"path": str(place), "frame": frame, "objects": found})
        return 0
    result(f"{count(len(found), 'object')} on frame {frame}: {', '.join(found)}")
    result(f"prompts        {place / 'prompts.json'}")
    result(f"preview        {place / 'preview.png'}")
    return 0

"""``tam-dist sheet``: a project in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import result, result_json


@app.command()
def sheet(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="A project's folder or URL.")],
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="A PNG; else NAME-sheet.png here.")] = None,
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="spread|worst|prompted|cuts",
            help="Frames spread evenly, of least quality, with prompts, or the first ones of shots.",
        ),
    ] = "spread",
    rows: Annotated[int, typer.Option(metavar="N")] = 3,
    columns: Annotated[int, typer.Option(metavar="N")] = 4,
    as_json: Json = False,
) -> int:
    """Write frames of a project with their masks as one picture."""
    from tam_dist.errors import ExportError
    from tam_dist.project import Project
    from tam_dist.sheet_frames import chosen_frames

    if not 1 <= rows <= 50 or not 1 <= columns <= 20:
        raise ExportError("--rows must be 1 to 50 and --columns 1 to 20.")
    opened = Project.open(project)
    frames = chosen_frames(opened, only, rows * columns)
    path = opened.write_contact_sheet(
        out or f"{Path(opened.location).name}-sheet.png", rows=rows, columns=columns, frames=frames
    )
    if as_json:
        result_json({"path": str(path), "only": only, "frames": frames})
    else:
        result(f"sheet          {path}")
    return 0

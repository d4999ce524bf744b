"""``tam-dist plot`` and ``explain``: pictures of what the tracker knew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tam_dist.cli.app import app
from tam_dist.cli.output import result

Where = Annotated[str, typer.Argument(help="A project.", metavar="PROJECT")]


@app.command()
def plot(
    where: Where,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("quality.png"),
) -> None:
    """Draw each object's quality over time, with prompts, refinements, absences and shot cuts marked."""
    from tam_dist.inspection.plot import plot_quality
    from tam_dist.project import Project

    project = Project.open(where)
    result(str(plot_quality(project, out, cuts=project.cuts)))


@app.command()
def explain(
    where: Where,
    frame: Annotated[int, typer.Option(help="Which frame, counted from 0.")],
    out: Annotated[Path | None, typer.Option(help="The PNG to write; frame-N.png by default.", show_default=False)] = None,
) -> None:
    """Draw why a frame's masks are what they are: XMem's mask, memory's evidence, the points, SAM's mask, the decision."""
    from tam_dist.inspection.explain import explain_frame, write_explanation
    from tam_dist.project import Project

    found = explain_frame(where, frame)
    result(str(write_explanation(found, Project.open(where).objects, out or Path(f"frame-{frame}.png"))))

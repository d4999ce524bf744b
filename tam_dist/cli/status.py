"""``tam-dist status``: how far a project or a folder of projects is, and what holds a run up."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import count, result_json

if TYPE_CHECKING:
    from rich.console import Group

    from tam_dist.monitoring.status import FolderStatus

#: Seconds between two looks of ``--watch``.
_EVERY = 1.0


@app.command()
def status(
    where: Annotated[str, typer.Argument(help="A project, or the folder of a run.", metavar="PROJECT|FOLDER")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again every second until the run has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Show each video's progress, and of a run its speed, how busy its stages are, and the bottleneck."""
    from rich.console import Console
    from rich.live import Live

    from tam_dist.monitoring.status import look

    found = look(where)
    if as_json:
        result_json(_as_json(found))
        while watch and found.live:
            time.sleep(_EVERY)
            found = look(where)
            result_json(_as_json(found))
        return
    console = Console()
    if not watch or not console.is_terminal:
        console.print(_view(found))
        return
    with Live(_view(found), console=console, auto_refresh=False) as view:
        while found.live:
            time.sleep(_EVERY)
            found = look(where)
            view.update(_view(found), refresh=True)


def _view(found: FolderStatus) -> Group:
    from rich.console import Group

    from tam_dist.cli.run_view import object_table, reasons, stage_table, summary, video_table

    parts: list[Any] = [video_table(found.videos), *reasons(found.videos)]
    if any(each.tracked for each in found.objects):
        parts += ["", object_table(found.objects)]
    if found.cuts:
        parts += ["", f"{count(len(found.cuts) + 1, 'shot')} known"]
    if found.report is not None:
        parts += ["", f"total: {summary(found.report)}"]
        if found.live:
            parts += ["", stage_table(found.report), "", found.report.bottleneck.sentence]
    parts += ["", found.sentence]
    return Group(*parts)


def _as_json(found: FolderStatus) -> dict[str, Any]:
    fields: dict[str, Any] = {"live": found.live, "writer": found.writer, "videos": [asdict(video) for video in found.videos]}
    fields["objects"] = [asdict(each) for each in found.objects]
    fields["cuts"] = found.cuts
    if found.report is not None:
        fields |= {key: value for key, value in asdict(found.report).items() if key != "videos"}
        fields["counts"] = found.report.counts
    return fields

"""``tam-dist export``: masks in the formats of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import result, result_json, say

if TYPE_CHECKING:
    from tam_dist.export.request import ExportRequest
    from tam_dist.export.run import Exported


@app.command("export")
def export_command(
    project: Annotated[str, typer.Argument(help="A project's folder or URL.")] = "",
    form: Annotated[str, typer.Option("--format", "-f", metavar="FORMAT", help="--list shows them.")] = "",
    out: Annotated[str, typer.Option("--out", "-o", metavar="PATH", help="A new folder or file, as the format is.")] = "",
    objects: Annotated[list[str] | None, typer.Option("--objects", metavar="NAME[,NAME]", help="These alone.")] = None,
    frames: Annotated[str | None, typer.Option(metavar="FIRST..LAST", help="These alone, both included.")] = None,
    every: Annotated[int, typer.Option(metavar="N", help="Each N-th frame.")] = 1,
    partial: Annotated[bool, typer.Option("--partial", help="Of a video tracked in part: what is there.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Also the source's frames, where the format has a place.")] = False,
    sound: Annotated[bool, typer.Option("--sound/--no-sound", help="Keep the sound in videos.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Write an earlier export at --out anew.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show the formats and end.")] = False,
    as_json: Json = False,
) -> int:
    """Write a project's masks in a format that annotation tools, benchmarks and editors read."""
    from tam_dist.errors import ExportError
    from tam_dist.export.request import ExportRequest, parse_range
    from tam_dist.export.run import export_project
    from tam_dist.project import Project

    if show:
        _show_formats(as_json=as_json)
        return 0
    for value, name in ((project, "a project"), (form, "--format"), (out, "--out")):
        if not value:
            raise ExportError(
                f"An export needs {name}: tam-dist export PROJECT --format coco --out masks.json; --list: formats."
            )
    names = tuple(name.strip() for text in objects or () for name in _names(text, project))
    request = ExportRequest(form, names, None if frames is None else parse_range(frames), every, partial, images, sound)
    done = export_project(Project.open(project), out, request, replace=replace)
    _show(done, request, as_json=as_json)
    return 0


def _names(text: str, project: str) -> list[str]:
    """A name may hold a comma itself."""
    from tam_dist.project import Project

    return [text] if text in Project.open(project).masks else text.split(",")


def _show(done: Exported, request: ExportRequest, *, as_json: bool) -> None:
    if done.untracked:
        say(f"note: {done.untracked} frames are not tracked yet and were left out")
    if as_json:
        result_json(
            {
                "path": str(done.path),
                "format": request.format,
                "frames": done.frames,
                "untracked": done.untracked,
                "objects": list(done.objects),
                "seconds": round(done.seconds, 3),
            }
        )
        return
    result(f"{done.frames} frames, {len(done.objects)} objects, {done.frames / max(done.seconds, 1e-9):.0f} frames/s")
    result(f"{request.format:<14} {done.path}")


def _show_formats(*, as_json: bool) -> None:
    from dataclasses import asdict

    from tam_dist.export.formats import FORMATS

    if as_json:
        result_json([{k: v for k, v in asdict(form).items() if k != "writer"} for form in FORMATS.values()])
        return
    for form in FORMATS.values():
        result(f"{form.name:<20} {form.suffix or 'folder':<8} {form.title}")

"""``tam-dist export``: masks in the formats of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Json, Quiet, app
from tam_dist.cli.output import count, result, result_json, say

if TYPE_CHECKING:
    from tam_dist.export.request import ExportRequest
    from tam_dist.export.run import Exported


@app.command("export")
def export_command(
    project: Annotated[str, typer.Argument(metavar="PROJECT|FOLDER", help="A project, or the folder of a run.")] = "",
    form: Annotated[str, typer.Option("--format", "-f", metavar="FORMAT", help="--list shows them.")] = "",
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="PATH", help="A new folder or file, as the format is; of a run, a folder.")
    ] = "",
    objects: Annotated[list[str] | None, typer.Option("--objects", metavar="NAME[,NAME]", help="These alone.")] = None,
    frames: Annotated[str | None, typer.Option(metavar="FIRST..LAST", help="These alone, both included.")] = None,
    every: Annotated[int, typer.Option(metavar="N", help="Each N-th frame.")] = 1,
    partial: Annotated[bool, typer.Option("--partial", help="Of a video tracked in part: what is there.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Also the source's frames, where the format has a place.")] = False,
    sound: Annotated[bool, typer.Option("--sound/--no-sound", help="Keep the sound in videos.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Write an earlier export at --out anew.")] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Of a run: so many videos at a time; default: cores.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", help="Of a run: spread it over this Ray cluster.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the formats and end.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write a project's masks, or those of all projects of a run, in a format that other tools read."""
    from tam_dist.errors import ExportError
    from tam_dist.export.many import is_run
    from tam_dist.export.request import ExportRequest, parse_range
    from tam_dist.export.run import export_project
    from tam_dist.project import Project

    if show:
        _show_formats(as_json=as_json)
        return 0
    for value, name in ((project, "a project"), (form, "--format"), (out, "--out")):
        if not value:
            raise ExportError(f"An export needs {name}: write tam-dist export PROJECT --format coco --out masks.")
    if workers is not None and workers < 1:
        raise ExportError("--workers must be 1 or more.")
    chosen = None if frames is None else parse_range(frames)
    whole_run = is_run(project)
    names = tuple(name.strip() for text in objects or () for name in _names(text, None if whole_run else project))
    request = ExportRequest(form, names, chosen, every, partial, images, sound)
    if whole_run:
        return _export_run(project, out, request, workers, address, replace=replace, as_json=as_json, quiet=quiet)
    done = export_project(Project.open(project), out, request, replace=replace)
    _show(done, request, as_json=as_json)
    return 0


def _names(text: str, project: str | None) -> list[str]:
    """A name may hold a comma itself."""
    from tam_dist.project import Project

    return [text] if project is not None and text in Project.open(project).masks else text.split(",")


def _export_run(
    folder: str,
    out: str,
    request: ExportRequest,
    workers: int | None,
    address: str | None,
    *,
    replace: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    from dataclasses import asdict

    from tam_dist.export.many import JobResult, export_run, in_processes

    def show(one: JobResult) -> None:
        if one.reason:
            say(f"{one.name} failed: {one.reason}")
        elif not quiet:
            left_out = f", {one.untracked} not tracked yet" if one.untracked else ""
            say(f"{one.name}: {count(one.frames, 'frame')}{left_out}")

    if address is None:
        run = in_processes(workers)
    else:
        from actors.exporting import on_ray

        run = on_ray(address)
    done = export_run(folder, out, request, run, replace=replace, show=show)
    frames = sum(one.frames for one in done.done)
    if as_json:
        failed = [{"name": one.name, "reason": one.reason} for one in done.failed]
        done_ones = [asdict(one) for one in done.done]
        numbers = {"frames": frames, "seconds": round(done.seconds, 3)}
        result_json({"path": str(done.out), "done": done_ones, "already": list(done.already), "failed": failed, **numbers})
        return done.exit_code
    parts = [f"{count(len(done.done), 'video')} exported"]
    parts += [f"{len(done.already)} before (--replace writes them anew)"] if done.already else []
    parts += [f"{len(done.failed)} failed"] if done.failed else []
    result(f"{', '.join(parts)}; {count(frames, 'frame')}, {frames / max(done.seconds, 1e-9):.0f} frames/s")
    result(f"{request.format:<14} {done.out}")
    return done.exit_code


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
    speed = done.frames / max(done.seconds, 1e-9)
    result(f"{count(done.frames, 'frame')}, {count(len(done.objects), 'object')}, {speed:.0f} frames/s")
    result(f"{request.format:<14} {done.path}")


def _show_formats(*, as_json: bool) -> None:
    from dataclasses import asdict

    from tam_dist.export.formats import FORMATS

    if as_json:
        result_json([{k: v for k, v in asdict(form).items() if k != "writer"} for form in FORMATS.values()])
        return
    for form in FORMATS.values():
        result(f"{form.name:<20} {form.suffix or 'folder':<8} {form.title}")

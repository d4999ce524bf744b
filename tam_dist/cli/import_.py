"""``tam-dist import``: masks and boxes of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Json, Settings, app
from tam_dist.cli.output import count, result, result_json

if TYPE_CHECKING:
    from tam_dist.importing.run import Imported

_SHOWN = 12


@app.command("import")
def import_command(
    masks: Annotated[
        str,
        typer.Argument(
            help="A folder of PNGs (DAVIS, YouTube-VOS, RGB), COCO or YouTube-VIS JSON, MOTS, MOT, CVAT XML or zip."
        ),
    ],
    settings: Settings = None,
    video: Annotated[str, typer.Option("--video", "-v", metavar="VIDEO", help="The video they are of.")] = "",
    out: Annotated[str | None, typer.Option("--out", "-o", help="The new project, or the folder of prompts.")] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="masks|prompts",
            help="masks: a finished project, to be reviewed. prompts: a file for tam-dist track, from which it tracks anew.",
        ),
    ] = "masks",
    every: Annotated[
        int | None, typer.Option(metavar="N", help="As prompts: also each N-th frame, not only where an object first appears.")
    ] = None,
    first_frame: Annotated[
        int | None, typer.Option(metavar="N", help="The number that the masks give to the video's first frame; else found out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier import at --out.")] = False,
    as_json: Json = False,
) -> int:
    """Bring masks or boxes of other tools into a project, or make prompts of them."""
    from tam_dist.config import load_config
    from tam_dist.errors import ExportError
    from tam_dist.importing.run import import_masks, import_prompts
    from tam_dist.preparation import settle

    if not video:
        raise ExportError(f"An import needs the video: tam-dist import {masks} --video film.mp4.")
    place = out or (f"runs/{Path(video).stem}" if kind == "masks" else f"{Path(video).stem}-prompts")
    match kind:
        case "masks":
            if every is not None:
                raise ExportError("--every chooses frames of prompts: add --as prompts.")
            config = settle(load_config(settings or []))
            done = import_masks(masks, video, place, config, first_frame=first_frame, force=force)
        case "prompts":
            done = import_prompts(masks, video, place, every=every, first_frame=first_frame, replace=force)
        case _:
            raise ExportError(f"Masks cannot be imported as {kind!r}: choose --as masks or --as prompts.")
    _show(done, kind, as_json=as_json)
    return 0


def _show(done: Imported, kind: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        result_json({**asdict(done), "as": kind})
        return
    said = [f"{count(done.frames, 'frame')} matched"]
    for number, words in (
        (done.without, "of the video have no masks"),
        (done.left_out, "are not in the video and were left out"),
        (done.resampled, "were of another size and were resampled"),
    ):
        said += [f"{number} {words}"] if number else []
    result(f"{done.form}: {', '.join(said)}")
    names = [f"{id_} {name}" for name, id_ in done.objects.items()]
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    result(f"{count(len(names), 'object')}: {', '.join(names[:_SHOWN])}{more}")
    if done.overlapping:
        result(f"{done.overlapping} pixels were in two masks; they went to the later one")
    for note in done.notes:
        result(note)
    result(f"{'project' if kind == 'masks' else 'prompts':<14} {done.path}")

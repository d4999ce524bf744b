"""``tam-dist prompts``: files of prompts, looked at before anything is tracked."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import count, result, result_json

prompts_app = typer.Typer(help="Check files of prompts, or show what they must look like.", no_args_is_help=True)
app.add_typer(prompts_app, name="prompts")


@prompts_app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON file of prompts.")],
    video: Annotated[
        str | None, typer.Option("--video", "-v", metavar="VIDEO", help="Also whether they fit its frames and picture.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Read a file of prompts as tam-dist track would, and say what is in it or what is wrong."""
    from tam_dist.prompt_files import read_prompt_file
    from tam_dist.prompts import in_given_order, objects_of, validate

    prompts = in_given_order(read_prompt_file(file))
    if video is not None:
        from tam_dist.media.reader import open_video

        with open_video(video) as reader:
            validate(prompts, reader.info)
    kinds: dict[str, list[str]] = {}
    for prompt in prompts:
        kinds.setdefault(prompt.object_name, []).append(f"{prompt.data.kind} on frame {prompt.frame}")
    if as_json:
        result_json({"file": str(file), "prompts": len(prompts), "objects": kinds})
        return 0
    for item in objects_of(prompts):
        result(f"{item.id:>3} {item.name}: {', '.join(kinds[item.name])}")
    fits = "" if video is None else f", fit for {video}"
    result(f"{count(len(prompts), 'prompt')}, {count(len(kinds), 'object')}{fits}")
    return 0


@prompts_app.command()
def schema() -> int:
    """Print the JSON schema of files of prompts, for editors and other programs."""
    result(files("tam_dist").joinpath("prompts.schema.json").read_text(encoding="utf-8").rstrip())
    return 0

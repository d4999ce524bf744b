"""``tam-dist shots``: where a video cuts from one shot to the next."""

from __future__ import annotations

from typing import Annotated

import typer

from tam_dist.cli.app import Json, Quiet, Settings, app
from tam_dist.cli.output import clock, is_terminal, result, result_json, say


@app.command()
def shots(
    video: Annotated[str, typer.Argument(help="A file, a folder of images, or a URL (s3://…).", metavar="VIDEO")],
    settings: Settings = None,
    least: Annotated[int, typer.Option(min=1, metavar="FRAMES", help="Shorter shots join a neighbour.")] = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the shots of a video: hard cuts and the ends of fades, to the frame."""
    from itertools import pairwise

    from tam_dist.config import load_config
    from tam_dist.media.reader import open_video
    from tam_dist.media.shots import cuts_of_video, without_short_shots
    from tam_dist.types import Cut

    media = load_config(settings or []).media
    found: list[Cut] = []
    with open_video(video, reader=media.reader, on_damage=media.on_damage) as reader:
        info, seconds = reader.info, reader.index.seconds
        for cut in cuts_of_video(reader):
            found.append(cut)
            if is_terminal() and not quiet and not as_json:
                say(f"cut at frame {cut.frame} ({clock(seconds(cut.frame))})")
    kept = without_short_shots(found, info.frame_count, least)
    edges = [0, *(cut.frame for cut in kept), info.frame_count]
    if as_json:
        cuts = [{"frame": c.frame, "seconds": round(seconds(c.frame), 3), "strength": c.strength} for c in found]
        spans = [{"first": first, "last": stop - 1} for first, stop in pairwise(edges)]
        result_json({"video": video, "frames": info.frame_count, "fps": float(info.fps), "cuts": cuts, "shots": spans})
        return
    for number, (first, stop) in enumerate(pairwise(edges), 1):
        result(f"shot {number:<5} frames {first:>7} to {stop - 1:<7} from {clock(seconds(first))}")

"""``tam-dist plan``: what a run would do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Executor, Json, Settings, app
from tam_dist.cli.corpus import Absences, Boxes, Clicks, Corpus, Labels, PromptFiles, prompt_rule
from tam_dist.cli.output import clock, count, result, result_json

if TYPE_CHECKING:
    from tam_dist.corpus.plan import CorpusPlan


@app.command()
def plan(
    corpus: Corpus,
    settings: Settings = None,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Where the run's projects are or would be.", metavar="FOLDER")
    ] = "runs",
    click: Clicks = None,
    box: Boxes = None,
    labels: Labels = None,
    absent: Absences = None,
    prompts: PromptFiles = None,
    executor: Executor = "auto",
    as_json: Json = False,
) -> None:
    """Show what tam-dist run would track, where, and about how long it would take, without running anything."""
    from tam_dist.addresses import absolute
    from tam_dist.api import chosen_executor
    from tam_dist.config import load_config
    from tam_dist.corpus.lines import read_corpus
    from tam_dist.corpus.plan import plan_corpus
    from tam_dist.preparation import settle

    config = settle(load_config(settings or []))
    lines = read_corpus(corpus, prompt_rule(click, box, labels, absent, prompts))
    found = plan_corpus(lines, absolute(out), config, chosen_executor(executor, len(lines), config))
    if as_json:
        result_json(asdict(found))
    else:
        _show(found)


def _show(found: CorpusPlan) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tam_dist.corpus.plan import TYPICAL_SHOT

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("video", "state", "frames left", "size", "segments", "propagator", "from", "to"):
        table.add_column(heading, justify="right" if heading in ("frames left", "segments", "from", "to") else "left")
    for video in found.videos:
        row = (
            Text(video.name),
            video.state,
            str(video.frames_left or ""),
            f"{video.width}x{video.height}" if video.width else "",
            f"{'about ' if video.guessed else ''}{len(video.segments)}" if video.frames_left else "",
        )
        place = ("", "", "")
        if video.propagator is not None:
            where = f"propagator-{video.propagator}" if len(video.segments) == 1 else "any"
            place = (where, clock(video.start), clock(video.end))
        table.add_row(*row, *place)
    failures = [Text(f"{video.name}: {video.reason}") for video in found.videos if video.reason]
    Console().print(table, *failures, sep="\n")
    workers = ", ".join(count(number, role.value) for role, number in found.workers.items())
    frames = sum(video.frames_left for video in found.videos)
    result(f"\n{count(frames, 'frame')}, about {clock(found.seconds)} with {workers}")
    if any(video.guessed for video in found.videos):
        result(f"shots are not known yet, and taken to be {TYPICAL_SHOT:.0f} seconds long")
    if found.bottleneck is not None:
        others = ", ".join(f"{clock(seconds)} with {number}" for number, seconds in found.what_if.items())
        result(f"by number of propagators, and of the others with them: {others}")
        result(f"bottleneck: {found.bottleneck.value}; time from {found.costs.source}")

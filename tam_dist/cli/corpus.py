"""``tam-dist run``: many videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Address, Executor, Json, Quiet, Settings, app
from tam_dist.cli.output import clock, count, result, result_json, say

if TYPE_CHECKING:
    from tam_dist.corpus.lines import PromptRule
    from tam_dist.corpus.run import CorpusResult

Corpus = Annotated[
    str,
    typer.Argument(
        help="A .jsonl file (one video a line; - for standard input), a folder, a glob in quotes, or one video.",
        metavar="CORPUS",
    ),
]
Clicks = Annotated[
    list[str] | None, typer.Option("--click", help="For every video without prompts of its own.", metavar="CLICK")
]
Boxes = Annotated[list[str] | None, typer.Option("--box", help="Likewise.", metavar="BOX")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", help="Likewise; {stem} stands for the video's name, {folder} for its folder.", metavar="LABELS"),
]
Absences = Annotated[list[str] | None, typer.Option("--absent", help="Likewise.", metavar="ABSENCE")]
PromptFiles = Annotated[list[str] | None, typer.Option("--prompts", help="Likewise; with {stem} and {folder}.", metavar="FILE")]


@app.command("run")
def run_command(
    corpus: Corpus,
    settings: Settings = None,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder or URL of the projects, one for each video.", metavar="FOLDER")
    ] = "runs",
    click: Clicks = None,
    box: Boxes = None,
    labels: Labels = None,
    absent: Absences = None,
    prompts: PromptFiles = None,
    executor: Executor = "auto",
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Track many videos. Run it again to continue: what is done is not touched, what failed is tried again.

    A line of a corpus: {"video": "a.mp4", "prompts": [{"object": "cat", "frame": 0, "clicks": [[320, 240, 1]]}]}.
    Videos that can't be tracked are listed in failed.jsonl with the reason; the exit code is then 3.
    """
    from tam_dist.addresses import absolute
    from tam_dist.api import chosen_executor
    from tam_dist.cli.interrupt import stop_on_interrupt
    from tam_dist.cli.run_view import RunDisplay
    from tam_dist.config import load_config
    from tam_dist.corpus.lines import read_corpus
    from tam_dist.corpus.run import run_corpus
    from tam_dist.preparation import settle

    folder = absolute(out)
    config = settle(load_config(settings or []), folder)
    lines = read_corpus(corpus, prompt_rule(click, box, labels, absent, prompts))
    name = chosen_executor(executor, len(lines), config, address)
    with stop_on_interrupt() as stop, RunDisplay(quiet=quiet) as display:
        outcome = run_corpus(lines, folder, config, name, address=address, show=display, stop=stop)
    _show(outcome, folder, as_json=as_json)
    return outcome.exit_code


def prompt_rule(
    click: list[str] | None,
    box: list[str] | None,
    labels: list[str] | None,
    absent: list[str] | None,
    prompts: list[str] | None,
) -> PromptRule:
    """The options' words as a rule."""
    from tam_dist.corpus.lines import PromptRule

    return PromptRule(
        clicks=tuple(click or ()),
        boxes=tuple(box or ()),
        labels=tuple(labels or ()),
        absences=tuple(absent or ()),
        files=tuple(prompts or ()),
    )


def _show(outcome: CorpusResult, out: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from tam_dist.monitoring.marks import FAILED

    fps = outcome.frames / outcome.seconds
    if as_json:
        counts = {key: value for key, value in asdict(outcome).items() if key != "failed"}
        counts |= {"failed": len(outcome.failed), "seconds": round(outcome.seconds, 3), "fps": round(fps, 2), "out": out}
        result_json(counts)
        return
    parts = [f"{count(outcome.done, 'video')} done"]
    named = (("already", "done before"), ("stopped", "to be continued"), ("cancelled", "cancelled"))
    parts += [f"{getattr(outcome, field)} {words}" for field, words in named if getattr(outcome, field)]
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed (reasons in {out}/{FAILED})")
    result(f"{', '.join(parts)}; {count(outcome.frames, 'frame')} in {clock(outcome.seconds)}, {fps:.1f} frames/s")
    result(f"projects       {out}")
    if outcome.stopped or outcome.failed or outcome.cancelled:
        say("run the same command again to go on with what is not done")

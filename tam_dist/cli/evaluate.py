"""``tam-dist eval``: the DAVIS benchmark, and the click benchmark of the segmentation model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Json, Settings, app
from tam_dist.cli.output import count, result, result_json, say
from tam_dist.errors import ConfigError

if TYPE_CHECKING:
    from tam_dist.evaluation.davis import ObjectScore, VideoSequence
    from tam_dist.evaluation.returning import FilmScore

evaluation = typer.Typer(help="Benchmarks of the models.", no_args_is_help=True)
app.add_typer(evaluation, name="eval")


Segments = Annotated[str | None, typer.Option(metavar="whole|shots|N", help="As tracking.segments=…", show_default=False)]


@evaluation.command()
def davis(
    root: Annotated[Path, typer.Option(help="A folder in DAVIS's layout: JPEGImages, Annotations.")],
    settings: Settings = None,
    year: Annotated[int, typer.Option(help="2016: all objects as one; 2017: each by itself.")] = 2016,
    sequences: Annotated[str | None, typer.Option(help="Only these, separated by commas.")] = None,
    init: Annotated[str, typer.Option(metavar="mask|click|box", help="What is given on the prompted frame.")] = "mask",
    clicks: Annotated[int, typer.Option(min=1, help="Clicks an object, with --init click.")] = 3,
    start: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Which frame is prompted, as a share of the sequence: 0.5 is its middle.")
    ] = 0.0,
    refine: Annotated[
        str | None, typer.Option(metavar="off|on|deferred", help="As refinement.mode=…", show_default=False)
    ] = None,
    segments: Segments = None,
    as_json: Json = False,
) -> None:
    """Track DAVIS's sequences and score the masks: region similarity J, contour accuracy F."""
    from tam_dist.config import load_config
    from tam_dist.evaluation.davis import find_sequences
    from tam_dist.evaluation.protocol import INITIALISATIONS, evaluate_davis
    from tam_dist.preparation import settle

    if year not in (2016, 2017):
        raise ConfigError(f"--year must be 2016 or 2017, not {year}.")
    if init not in INITIALISATIONS:
        raise ConfigError(f"--init must be {', '.join(INITIALISATIONS)}, not {init!r}.")
    found = find_sequences(root, year, sequences.split(",") if sequences else None, start=start)
    chosen = [] if refine is None else [f"refinement.mode={refine}"]
    chosen += [] if segments is None else [f"tracking.segments={segments}"]
    config = settle(load_config([*(settings or []), *chosen]))
    report = evaluate_davis(found, config, INITIALISATIONS[init], clicks, tell=_tell).to_json()
    if as_json:
        result_json(report)
        return
    for key, value in report.items():
        if isinstance(value, float) and key != "frames_per_second":
            result(f"{key:<10} {100 * value:5.1f}")
    result(f"{report['frames_per_second']:.1f} frames/s")


@evaluation.command()
def films(
    root: Annotated[Path, typer.Option(help="A folder in DAVIS's layout, whose sequences the films are made of.")],
    settings: Settings = None,
    number: Annotated[int, typer.Option("--films", min=1, help="How many films.")] = 4,
    seed: Annotated[int, typer.Option(help="Other films for another one.")] = 1,
    prompted: Annotated[int, typer.Option(min=1, help="Frames an object whose masks are given, spread over the film.")] = 1,
    segments: Segments = None,
    as_json: Json = False,
) -> None:
    """Track films of several shots whose objects come back, and score whether they are known again after cuts."""
    from dataclasses import asdict

    from tam_dist.config import load_config
    from tam_dist.evaluation.films import make_films
    from tam_dist.evaluation.returning import evaluate_films, summary
    from tam_dist.preparation import settle

    chosen = [] if segments is None else [f"tracking.segments={segments}"]
    config = settle(load_config([*(settings or []), *chosen]))
    scores = evaluate_films(make_films(root, number, seed), config, prompted, tell=_tell_film)
    if as_json:
        result_json({**asdict(summary(scores)), "objects": [asdict(each) for each in scores]})
        return
    found = summary(scores)
    result(f"J&F           {100 * found.j_and_f:5.1f}")
    result(f"known again   {found.known} of {found.returns}")
    result(f"false frames  {100 * found.false:5.1f} %")


def _tell_film(score: FilmScore) -> None:
    again = f"known again {score.known} of {score.returns}, false frames {100 * score.false:.0f} %"
    say(f"{score.film} object {score.object}  J {100 * score.j:5.1f}  F {100 * score.f:5.1f}  {again}")


@evaluation.command()
def interactive(
    root: Annotated[Path, typer.Option(help="A folder in DAVIS's layout: JPEGImages, Annotations.")],
    settings: Settings = None,
    year: Annotated[int, typer.Option(help="2016: all objects as one; 2017: each by itself.")] = 2017,
    sequences: Annotated[str | None, typer.Option(help="Only these, separated by commas.")] = None,
    choices: Annotated[
        str,
        typer.Option(metavar="queue,random,uniform,oracle", help="How the frame to correct is chosen; several are compared."),
    ] = "queue,random,uniform,oracle",
    rounds: Annotated[int, typer.Option(min=1, help="Frames that are corrected, one after the other.")] = 8,
    clicks: Annotated[int, typer.Option(min=1, help="Clicks an object at the start.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the random choice.")] = 0,
    as_json: Json = False,
) -> None:
    """Correct DAVIS's sequences with simulated clicks, a frame a round: J&F and tracking time after each."""
    from tam_dist.config import load_config
    from tam_dist.evaluation.davis import find_sequences
    from tam_dist.evaluation.interactive import CHOICES, Curve, evaluate_interactive
    from tam_dist.preparation import settle

    names = choices.split(",")
    if year not in (2016, 2017):
        raise ConfigError(f"--year must be 2016 or 2017, not {year}.")
    if unknown := [name for name in names if name not in CHOICES]:
        raise ConfigError(f"--choices must be among {', '.join(CHOICES)}, not {unknown[0]!r}.")
    found = find_sequences(root, year, sequences.split(",") if sequences else None)

    def tell(curve: Curve) -> None:
        say(f"{curve.sequence:<20} {curve.choice:<8} " + "  ".join(f"{r.rounds}: {100 * r.j_and_f:.1f}" for r in curve.rounds))

    wanted = [CHOICES[name] for name in names]
    config = settle(load_config(settings or []))
    report = evaluate_interactive(found, config, wanted, rounds=rounds, clicks=clicks, seed=seed, tell=tell).to_json()
    if as_json:
        result_json(report)
        return
    for choice, figures in report["choices"].items():
        curve = "  ".join(f"{r['rounds']}: {100 * r['J&F']:.1f} ({r['seconds']:.0f} s)" for r in figures["rounds"])
        result(f"{choice:<8} J&F after rounds  {curve}")


@evaluation.command()
def clicks(
    root: Annotated[Path, typer.Option(help="A folder with images/*.jpg and masks/*.png, 0 background, 255 unknown.")],
    settings: Settings = None,
    names: Annotated[Path | None, typer.Option(help="A file of image names to use, one a line.")] = None,
    as_json: Json = False,
) -> None:
    """Mean IoU of the segmentation model after 1, 2, 3 and 5 simulated clicks."""
    from dataclasses import asdict

    from tam_dist.config import load_config
    from tam_dist.evaluation.clicks import evaluate_clicks
    from tam_dist.models.sam.opening import open_segmenter

    chosen = names.read_text(encoding="utf-8").split() if names is not None else None
    scores = evaluate_clicks(open_segmenter(load_config(settings or [])), root, names=chosen)
    if as_json:
        result_json(asdict(scores))
        return
    for number, iou in scores.mean_iou.items():
        result(f"{number} clicks  mIoU {100 * iou:.1f}")
    result(f"{count(scores.objects, 'object')}; predicted and true IoU correlate by {scores.iou_correlation:.2f}")


def _tell(sequence: VideoSequence, scores: list[ObjectScore]) -> None:
    for score in scores:
        say(f"{sequence.name:<20} object {score.object}  J {100 * score.j.mean:5.1f}  F {100 * score.f.mean:5.1f}")

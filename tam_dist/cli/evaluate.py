"""``tam-dist eval``: the DAVIS benchmark, and the click benchmark of the segmentation model."""

from __future__ import annotations

import typer

from tam_dist.cli.app import app

evaluation = typer.Typer(help="Benchmarks of the models.", no_args_is_help=True)
app.add_typer(evaluation, name="eval")

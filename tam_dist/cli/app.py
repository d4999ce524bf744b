"""The application that the commands register on, and the options that several of them share."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

HELP_OPTIONS = ["-h", "--help"]

app = typer.Typer(
    name="tam-dist",
    help="Track anything in long videos: SAM makes masks from clicks, XMem carries them, Ray spreads the work.",
    epilog="Any command takes --debug, which shows an error's traceback, and --log-format json, for machines that collect logs "
    "(TAM_DIST_LOG_FORMAT=json for a cluster's workers). Exit codes: 0 done, 1 failed, 2 usage, 3 some videos "
    "failed, 5 resources missing, 130 interrupted and resumable.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": HELP_OPTIONS},
)

Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings; tam-dist config lists them.", show_default=False),
]


def _version(asked: bool) -> None:
    if asked:
        from tam_dist import __version__

        typer.echo(f"tam-dist {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """What every command shares."""


Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, everything else on standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="auto|ray|inline",
        help="ray: worker processes; inline: this process; auto: inline for one video without a cluster or a second GPU.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Of a running Ray cluster; else RAY_ADDRESS, else a local Ray."),
]

# --- prompts, as every command takes them that asks for masks of objects ---------------------------------------------------

Clicks = Annotated[
    list[str] | None,
    typer.Option(help="NAME@FRAME:X,Y on the object, NAME@FRAME:X,Y,- beside it. Repeatable.", metavar="CLICK"),
]
Boxes = Annotated[list[str] | None, typer.Option(help="NAME@FRAME:X0,Y0,X1,Y1. Repeatable.", metavar="BOX")]
Labels = Annotated[
    list[str] | None,
    typer.Option(help="FRAME=FILE.png, a label map: every value but 0 is an object. Repeatable.", metavar="LABELS"),
]
Absences = Annotated[
    list[str] | None,
    typer.Option(help="NAME@FIRST..LAST: not in the picture in these frames. Repeatable.", metavar="ABSENCE"),
]
PromptFiles = Annotated[list[str] | None, typer.Option(help="A JSON file of prompts. Repeatable.", metavar="FILE")]

#: Each registers its commands when imported; none imports anything heavy.
_COMMANDS = (
    "single",
    "corpus",
    "plan",
    "shots",
    "status",
    "cancel",
    "correct",
    "objects",
    "locks",
    "log",
    "inspection",
    "evaluate",
    "weights",
    "doctor",
    "settings",
    "verify",
    "clean",
    "export",
    "import_",
    "propose",
    "prompts",
    "sheet",
    "review",
)
for _name in _COMMANDS:
    import_module(f"tam_dist.cli.{_name}")

"""The ``tam-dist`` command. Modules here turn words into calls and results into text; what they call is in the library.

Nothing heavy is imported before a command runs: ``tam-dist --help`` must not wait for torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script; ends the process with an :class:`tam_dist.errors.ExitCode`."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. ``--debug`` may stand anywhere: errors then come with their traceback."""
    import typer

    from tam_dist.cli.app import app
    from tam_dist.errors import ExitCode, TamDistError

    # UsageError, also of the wrong option or command; from typer, because newer ones carry a click of their own, whose errors
    # are not those of the package click.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    debug = "--debug" in arguments
    rest = [a for a in arguments if a != "--debug"]
    try:
        return int(app(rest, prog_name="tam-dist", standalone_mode=False) or 0)
    except TamDistError as error:
        return _fail(error, str(error), error.exit_code, debug)
    except usage_error as error:
        return _fail(error, _usage_sentence(error), ExitCode.USAGE, debug) if str(error) else ExitCode.USAGE  # help was shown
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)  # noqa: T201
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return ExitCode.FAILED
    except Exception as error:
        sentence = f"an unexpected {type(error).__name__} ({error}); this is a bug, run again with --debug to see where."
        return _fail(error, sentence, ExitCode.FAILED, debug)


def _usage_sentence(error: Any) -> str:
    command = error.ctx.command_path if error.ctx is not None else "tam-dist"
    return f"{error.format_message().rstrip('.')}; see {command} --help."


def _fail(error: Exception, sentence: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
    return code

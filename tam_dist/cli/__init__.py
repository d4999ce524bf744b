"""The ``tam-dist`` command. Modules here turn words into calls and results into text; what they call is in the library.

Nothing heavy is imported before a command runs: ``tam-dist --help`` must not wait for torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from tam_dist.cli.output import say


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script; ends the process with an :class:`tam_dist.errors.ExitCode`."""
    from tam_dist.cli.streams import finish_streams, prepare_streams

    prepare_streams()
    code = run(list(sys.argv[1:] if arguments is None else arguments))
    finish_streams()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. ``--debug`` may stand anywhere: errors then come with their traceback; so may
    ``--log-format text|json``.
    """
    import typer

    from tam_dist.cli.app import app
    from tam_dist.cli.streams import check_arguments, silent_libraries
    from tam_dist.errors import ExitCode, TamDistError
    from tam_dist.logs import set_up_logs

    # UsageError, also of the wrong option or command; from typer, because newer ones carry a click of their own, whose errors
    # are not those of the package click.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    debug = "--debug" in arguments
    rest = [a for a in arguments if a != "--debug"]
    try:
        rest = _take_log_format(rest)
        set_up_logs()
        check_arguments(rest)
        command = typer.main.get_command(app)
        _show_flags_without_type(command)
        with silent_libraries(not debug and bool({"-q", "--quiet"} & set(rest))):
            return int(command(rest, prog_name="tam-dist", standalone_mode=False) or 0)
    except TamDistError as error:
        return _fail(error, str(error), error.exit_code, debug)
    except usage_error as error:
        return _fail(error, _usage_sentence(error), ExitCode.USAGE, debug) if str(error) else ExitCode.USAGE  # help was shown
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        return ExitCode.FAILED
    except OSError as error:  # the machine's fault, not ours: no room for temporary files, no more processes
        what = f"{error.filename}: " if error.filename else ""
        return _fail(error, f"{what}{error.strerror or error}; check the disk, its permissions and limits.", 5, debug)
    except Exception as error:
        sentence = f"an unexpected {type(error).__name__} ({error}); this is a bug, run again with --debug to see where."
        return _fail(error, sentence, ExitCode.FAILED, debug)


def _take_log_format(arguments: list[str]) -> list[str]:
    """The words without that option, whose value the processes that this one starts are to know, too."""
    from tam_dist.errors import ConfigError
    from tam_dist.logs import OPTION, VARIABLE, parse_format

    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != OPTION:
            rest.append(word)
            continue
        chosen = value if equals else next(words, None)
        if chosen is None:
            raise ConfigError(f"{OPTION} lacks its value: text or json.")
        os.environ[VARIABLE] = parse_format(chosen)
    return rest


def _show_flags_without_type(command: Any) -> None:
    """In the help; ``--json <bool>`` reads as if it took a value."""
    import typer

    from tam_dist.cli.app import HELP_OPTIONS

    for param in (*command.params, command.get_help_option(typer.Context(command, help_option_names=HELP_OPTIONS))):
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    for each in getattr(command, "commands", {}).values():
        _show_flags_without_type(each)


def _usage_sentence(error: Any) -> str:
    command = error.ctx.command_path if error.ctx is not None else "tam-dist"
    return f"{error.format_message().rstrip('.')}; see {command} --help."


def _fail(error: Exception, sentence: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    say(f"error: {sentence}")
    return code

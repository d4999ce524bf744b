"""Every error that tam-dist raises on purpose.

A message is one sentence that names the thing at fault (file, frame, key) and what to do about it; the command line
prints it as it stands and exits with the class's ``exit_code``. Anything else that escapes is a bug.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the ``tam-dist`` command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SOME_FAILED = 3
    NEEDS_REVIEW = 4
    RESOURCES = 5
    INTERRUPTED = 130


class TamDistError(Exception):
    """Base of all deliberate errors."""

    exit_code: ExitCode = ExitCode.FAILED


class ConfigError(TamDistError):
    """A configuration key or value is wrong."""

    exit_code = ExitCode.USAGE


class PromptError(TamDistError):
    """A click, box, mask or absence does not fit the video or its objects."""

    exit_code = ExitCode.USAGE


class StaleViewError(TamDistError):
    """What a person looked at has been tracked again, or corrected by somebody else, since."""


class VideoError(TamDistError):
    """A video cannot be opened or decoded."""


class ProjectError(TamDistError):
    """A project directory cannot be used as asked."""


class ProjectExistsError(ProjectError):
    """The project exists with another video, other prompts or another configuration."""

    exit_code = ExitCode.USAGE


class ProjectLockedError(ProjectError):
    """Another process is writing the project."""


class SchemaError(ProjectError):
    """The project was made by a newer version of tam-dist, or its files are damaged."""


class StorageError(TamDistError):
    """Writing or reading the project failed: disk full, read-only, unreachable."""

    exit_code = ExitCode.RESOURCES


class ExportError(TamDistError):
    """Masks cannot be exported, or imported, as asked: unknown format, a range that is not there, a target in use."""

    exit_code = ExitCode.USAGE


class MaskFileError(TamDistError):
    """A file of masks to be imported is damaged, unsafe or of another video."""


class WeightsError(TamDistError):
    """A weight file is missing, damaged or of another model."""


class MissingWeightsError(WeightsError):
    """A published weight file was not fetched yet."""

    exit_code = ExitCode.RESOURCES


class ResourceError(TamDistError):
    """The machine or cluster lacks what was asked for."""

    exit_code = ExitCode.RESOURCES


class RunInterruptedError(TamDistError):
    """The run was stopped by its user and can be resumed."""

    exit_code = ExitCode.INTERRUPTED


class WorkerDiedError(TamDistError):
    """A worker process died while it held a task; the coordinator replays the work.

    ``running``: it died while it worked on this very task, which may be to blame; otherwise the task only waited there.
    """

    def __init__(self, message: str, *, running: bool = True) -> None:
        super().__init__(message)
        self.running = running


class PayloadLostError(TamDistError):
    """Data on its way between workers was lost with the machine that held it; the coordinator replays the work."""

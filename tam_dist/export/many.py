"""All projects of a run exported at once, each by a process of its own: one that fails or dies takes no other with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import cast

from storage.location import Location
from storage.manifest import MANIFEST
from tam_dist.errors import ExitCode, ExportError, TamDistError
from tam_dist.export.formats import find_format
from tam_dist.export.request import ExportRequest
from tam_dist.export.run import export_project
from tam_dist.export.target import mark_of
from tam_dist.project import Project
from tam_dist.strict_json import parse


@dataclass(frozen=True)
class ExportJob:
    """One project's export, as another process gets it."""

    name: str
    project: str
    out: str
    request: ExportRequest
    replace: bool


@dataclass(frozen=True)
class JobResult:
    """``reason`` is why it failed, "" where it did not."""

    name: str
    frames: int = 0
    untracked: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RunExported:
    """``already`` were exported before, in the same way."""

    out: Path
    done: tuple[JobResult, ...]
    already: tuple[str, ...]
    failed: tuple[JobResult, ...]
    seconds: float

    @property
    def exit_code(self) -> ExitCode:
        if not self.failed:
            return ExitCode.DONE
        return ExitCode.SOME_FAILED if self.done or self.already else ExitCode.FAILED


#: Seconds that exports under way have to clean up after themselves when they are interrupted.
_PATIENCE = 10.0

Runner = Callable[[Sequence[ExportJob]], Iterable[JobResult]]
"""Does jobs in any order and place, and gives each one's result as it comes."""


def is_run(where: str) -> bool:
    """Whether ``where`` is a folder of projects and none itself."""
    folder = Location.parse(where)
    return not (folder / MANIFEST).exists() and bool(project_names(where))


def project_names(where: str) -> list[str]:
    folder = Location.parse(where)
    return [name for name in folder.children() if not name.startswith(".") and (folder / name / MANIFEST).exists()]


def export_run(
    where: str, out: str, request: ExportRequest, run: Runner, *, replace: bool = False, show: Callable[[JobResult], None]
) -> RunExported:
    """Export each project of the folder ``where`` to ``out/<its name>``. ``show`` is told each result as it comes.

    What was exported there before in the same way is left as it is, so that a command that was cut off goes on where it was.
    Raises :class:`ExportError` for what is wrong with the wish itself.
    """
    form = find_format(request.format)
    form.load()
    if "://" in out:
        raise ExportError(f"{out} is a URL: export to a local folder and copy it there.")
    folder, target = Location.parse(where), Path(out).absolute()
    start = time.monotonic()
    jobs, already = [], []
    for name in project_names(where):
        place = target / f"{name}{form.suffix}"
        if not replace and _same_export(place, form.is_folder, str(folder / name), request):
            already.append(name)
        else:
            jobs.append(ExportJob(name, str(folder / name), str(place), request, replace))
    results = []
    for result in run(jobs) if jobs else ():
        show(result)
        results.append(result)
    results.sort(key=lambda r: r.name)
    done, failed = (tuple(r for r in results if bool(r.reason) == wrong) for wrong in (False, True))
    return RunExported(target, done, tuple(already), failed, time.monotonic() - start)


def export_one(job: ExportJob) -> JobResult:
    """Never raises: what went wrong is in the result."""
    try:
        done = export_project(Project.open(job.project), job.out, job.request, replace=job.replace)
    except TamDistError as error:
        return JobResult(job.name, reason=str(error))
    except Exception as error:
        return JobResult(job.name, reason=f"An unexpected {type(error).__name__} ({error}); this is a bug.")
    return JobResult(job.name, done.frames, done.untracked)


def in_processes(workers: int | None = None) -> Runner:
    """Runs jobs on this machine, so many at a time, as many as it has cores where None."""

    def run(jobs: Sequence[ExportJob]) -> Iterator[JobResult]:
        children: set[BaseProcess] = set()
        stopping = threading.Event()
        pool = ThreadPoolExecutor(min(workers or os.cpu_count() or 1, len(jobs)))
        try:
            for future in as_completed([pool.submit(_in_a_process, job, children, stopping) for job in jobs]):
                yield future.result()
        finally:  # also where the user has had enough: nothing more is begun, and what is under way cleans up after itself
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for child in list(children):
                _send(child, signal.SIGINT)
            for child in _still_running(children, _PATIENCE):  # the command ends whatever hangs
                _send(child, signal.SIGKILL)
            pool.shutdown()

    return run


def _still_running(children: set[BaseProcess], seconds: float) -> list[BaseProcess]:
    """Those that have not ended after so long; returns as soon as all have."""
    until = time.monotonic() + seconds
    left = {child.sentinel: child for child in list(children)}
    while left and (patience := until - time.monotonic()) > 0:
        for ended in wait(list(left), patience):
            del left[cast(int, ended)]
    return list(left.values())


def _send(child: BaseProcess, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(child.pid or 0, what)


def _in_a_process(job: ExportJob, children: set[BaseProcess], stopping: threading.Event) -> JobResult:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(job, sender), daemon=True)
    # A Ctrl-C waits until the child can take it: one that came while its interpreter started ended in a traceback.
    resource_tracker.ensure_running()  # which unblocks it in this thread, where a first child would do that
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()  # it inherits what is blocked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    children.add(process)
    if stopping.is_set():
        _send(process, signal.SIGKILL)
    sender.close()
    try:
        result = receiver.recv()
        assert isinstance(result, JobResult)
    except EOFError:
        result = JobResult(job.name, reason=f"The process that exported {job.name} died; was there enough memory?")
    process.join()
    children.remove(process)
    receiver.close()
    return result


def _child(job: ExportJob, sender: Connection) -> None:
    with suppress(KeyboardInterrupt):  # Ctrl-C reaches all processes of a terminal
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # it is ignored in a script's background
            signal.signal(signal.SIGINT, _interrupt_once)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        sender.send(export_one(job))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sender.close()


def _interrupt_once(_signal: int, _frame: FrameType | None) -> None:
    """The terminal's Ctrl-C and the parent's come both: the second must not cut short what the first has to clean up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _same_export(place: Path, folder: bool, project: str, request: ExportRequest) -> bool:
    """Whether the record of an export at ``place`` says that it is of this project and was asked for in these words."""
    try:
        record = parse(mark_of(place, folder=folder).read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(record, dict) or not place.exists():
        return False
    asked = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(request).items()}
    complete = record.get("frames", {}).get("untracked") == 0
    return complete and record.get("project") == project and record.get("request") == asked

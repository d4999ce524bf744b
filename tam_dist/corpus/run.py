"""Running a corpus: all its videos through one scheduler as they become ready, the broken ones set aside with a reason."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from storage import lock
from storage.location import Location
from storage.manifest import Manifest
from storage.project_store import ProjectStore
from tam_dist.api import ExecutorName, run_jobs
from tam_dist.config import Config
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.corpus.lines import CorpusLine, Line
from tam_dist.corpus.names import name_projects
from tam_dist.corpus.preparing import Found, Preparation
from tam_dist.errors import ExitCode, ProjectError, ProjectExistsError
from tam_dist.monitoring.marks import FAILED, refuse_foreign
from tam_dist.monitoring.monitor import RunMonitor, Show, conditions_of
from tam_dist.monitoring.report import PREPARING, VideoReport
from tam_dist.preparation import find_done, model_records, prepare
from tam_dist.running import as_sentence


@dataclass(frozen=True)
class FailedVideo:
    """A line of ``failed.jsonl``. ``name`` is the project's, None where the line was too broken to have one. By its fields
    (:data:`tam_dist.monitoring.marks.FAILED_FIELDS`) a later run knows the file as one that it may replace.
    """

    line: int
    video: str
    name: str | None
    reason: str


@dataclass(frozen=True)
class CorpusResult:
    """Numbers of videos: ``done`` by this run, ``already`` by an earlier one, ``stopped`` and to be continued, ``cancelled``.
    ``frames`` is what this run tracked in ``seconds``.
    """

    done: int
    already: int
    stopped: int
    cancelled: int
    failed: tuple[FailedVideo, ...]
    frames: int
    seconds: float

    @property
    def exit_code(self) -> ExitCode:
        if self.stopped or self.cancelled:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_FAILED if self.failed else ExitCode.DONE


def run_corpus(
    lines: Sequence[Line],
    out: str,
    config: Config,
    executor: ExecutorName,
    *,
    address: str | None = None,
    show: Show | None = None,
    stop: threading.Event | None = None,
) -> CorpusResult:
    """Track the videos of ``lines``, each into a project of its own below ``out`` (a folder or fsspec URL).

    Run again, it continues where it stopped: projects that are done are not touched, failed and cancelled ones are tried
    again. ``config`` should be settled (:func:`tam_dist.preparation.settle`); ``address`` is that of a Ray cluster; ``stop``,
    once set, ends the run after the chunks under way. What is wrong with one video ends that video alone and is written to
    ``failed.jsonl``. Raises :class:`WeightsError`, :class:`StorageError`, :class:`ProjectExistsError` where ``out`` holds
    somebody else's files under the names of a run's, and :class:`ProjectLockedError` where another run writes there.
    """
    model_records(config)  # what would fail every video should fail before any
    folder = Location.parse(out)
    if ProjectStore.exists(folder):
        raise ProjectExistsError(f"{out} is the project of a single video: choose another --out for the corpus.")
    refuse_foreign(folder)
    held = lock.acquire(folder)
    try:
        return _Run(folder, config, executor, address, stop or threading.Event()).run(lines, show)
    finally:
        held.release()


def project_owners(folder: Location) -> Callable[[str], str | None]:
    """Of which video there is a project of a name in ``folder``, None if of none."""
    present = frozenset(folder.children())  # one listing, because an object store is asked for each name otherwise

    def owner(name: str) -> str | None:
        try:
            return ProjectStore.open(folder / name, write=False).manifest.source.uri if name in present else None
        except ProjectError:
            return None

    return owner


class _Run:
    """One run's work in progress; ``outcome`` of each line ends up in the monitor's report."""

    def __init__(
        self, folder: Location, config: Config, executor: ExecutorName, address: str | None, stop: threading.Event
    ) -> None:
        self._folder = folder
        self._config = config
        self._executor = executor
        self._address = address
        self._stop = stop
        self._already = 0
        self._failed: list[FailedVideo] = []

    def run(self, lines: Sequence[Line], show: Show | None) -> CorpusResult:
        began = time.monotonic()
        named, broken = name_projects(lines, project_owners(self._folder))
        with RunMonitor(self._folder, conditions_of(self._config, self._executor), show) as monitor:
            for line in broken:
                self._fail(line, f"line {line.number}", line.reason, monitor)
            monitor.note(*(VideoReport(name, line.video, PREPARING) for name, line in named.items()))
            self._track(named, monitor)
            self._write_failed()
            report = monitor.report
        counts = report.counts
        ended = {state: counts.pop(state, 0) for state in (VideoState.DONE, VideoState.FAILED, VideoState.CANCELLED)}
        return CorpusResult(
            done=ended[VideoState.DONE] - self._already,
            already=self._already,
            stopped=sum(counts.values()),  # whatever has not come to an end is to be continued
            cancelled=ended[VideoState.CANCELLED],
            failed=tuple(self._failed),
            frames=report.new_frames,
            seconds=time.monotonic() - began,
        )

    def _prepare_one(self, name: str, line: CorpusLine) -> VideoJob | Manifest:
        """The job, or where the project is done, what it is about."""
        where = str(self._folder / name)
        done = find_done(line.video, line.prompts, where, self._config)
        return done or prepare(line.video, line.prompts, where, self._config)

    def _track(self, named: Mapping[str, CorpusLine], monitor: RunMonitor) -> None:
        """Those that are ready, while the others are looked at; those that are done or broken are noted instead."""
        names: dict[str, str] = {}

        def tell(name: str, found: Found) -> None:
            line = named[name]
            match found:
                case VideoJob():
                    names[found.project] = name
                    monitor.add(name, found)
                case Manifest():
                    self._already += 1
                    monitor.note(VideoReport(name, line.video, VideoState.DONE, found.frame_count, found.frame_count))
                case _:  # whatever is wrong with a video ends that one, not the others
                    self._fail(line, name, str(as_sentence(found, line.video)), monitor)

        with Preparation(named, self._prepare_one, tell, self._stop) as preparation:
            first = preparation.take(None)
            if not first:
                return
            outcomes = run_jobs(
                first,
                self._config,
                self._executor,
                address=self._address,
                listener=monitor,
                stop=self._stop,
                requests=monitor.requests,
                more=preparation,
            )
        for outcome in outcomes:
            if outcome.state is VideoState.FAILED:
                name = names[outcome.project]
                self._failed.append(_failed(named[name], name, str(outcome.error)))

    def _fail(self, line: Line, name: str, reason: str, monitor: RunMonitor) -> None:
        self._failed.append(_failed(line, name, reason))
        monitor.note(VideoReport(name, line.video, VideoState.FAILED, reason=reason))

    def _write_failed(self) -> None:
        """Of this run alone; gone where nothing failed."""
        self._failed.sort(key=lambda failed: failed.line)
        where = self._folder / FAILED
        if self._failed:
            where.write("".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in self._failed).encode())
        else:
            where.remove()


def _failed(line: Line, name: str, reason: str) -> FailedVideo:
    return FailedVideo(line.number, line.video, name if isinstance(line, CorpusLine) else None, reason)

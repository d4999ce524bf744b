"""Corrections from a terminal while another process tracks the project, and where that is killed before it takes them up."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event as Flag
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.cli import run as command
from tam_dist.coordination.events import ChunkCommitted, Event
from tam_dist.due import due_work
from tam_dist.types import Origin
from tests.replaying import replayed
from tests.tiny import square

Settings = tuple[str, ...]
Out = pytest.CaptureFixture[str]


def _track(video: Path, out: Path, settings: Settings, at: int, reached: Flag, go_on: Flag) -> None:
    """Stand still once chunk ``at`` (any, if -1) is stored, until told to go on."""

    def listen(event: Event) -> None:
        if isinstance(event, ChunkCommitted) and at in (-1, event.chunk) and not reached.is_set():
            reached.set()
            go_on.wait(120)

    if out.exists():
        tam_dist.resume(out, listener=listen)
    else:
        prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.mask("dog", square(40, 30), frame=2)]
        tam_dist.track(video, prompts, out=out, settings=settings, listener=listen)


Tracking = Callable[[Path, int], "_Run"]


class _Run:
    def __init__(self, process: multiprocessing.Process, go_on: Flag) -> None:
        self._process = process
        self._go_on = go_on

    def finish(self) -> None:
        self._go_on.set()
        self._process.join(300)
        assert self._process.exitcode == 0

    def kill(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(60)


@pytest.fixture
def tracking(tiny_video: Path, tiny_settings: Settings) -> Iterator[Tracking]:
    """Starts a process that tracks into a folder, and returns once it stands behind a chunk."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    started: list[_Run] = []

    def start(out: Path, at: int) -> _Run:
        reached, go_on = context.Event(), context.Event()
        process = context.Process(target=_track, args=(tiny_video, out, tiny_settings, at, reached, go_on))
        process.start()
        started.append(_Run(process, go_on))  # type: ignore[arg-type]
        assert reached.wait(300)
        return started[-1]

    yield start
    for run in started:
        if run._process.is_alive():
            run.kill()


def settled(where: Path) -> bool:
    """Everything that was asked for is in the masks, and these are what log and track record say."""
    work = due_work(ProjectStore.open(where, write=False))
    project = tam_dist.Project.open(where)
    again = replayed(project, where.parent / f"{where.name}-replay")
    return not (work.missing or work.stale) and np.array_equal(project.labels[:], again.labels[:])


def test_a_run_takes_corrections_of_other_processes(tracking: Tracking, tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / "p"
    run = tracking(out, 2)
    locked = np.asarray(tam_dist.Project.open(out).labels[6])
    assert command(["lock", str(out), "6"]) == 0
    assert command(["correct", str(out), "--click", "cat@12:20,14"]) == 0  # behind where it is
    assert command(["correct", str(out), "--box", "dog@38:30,20,50,40"]) == 0  # ahead of it
    assert command(["add", str(out), "owl", "--box", "20:8,8,24,24"]) == 0
    assert command(["remove", str(out), "dog", "40..43"]) == 0
    assert command(["undo", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert all(line.endswith("; the run under way takes it up") for line in said)
    assert len(said) == 6
    run.finish()
    assert settled(out)
    found = tam_dist.Project.open(out)
    assert [o.name for o in found.objects] == ["cat", "dog", "owl"]
    assert found.status.state == "done"
    assert np.array_equal(found.labels[6], locked)
    assert found.origin[20][2] == Origin.PROMPTED


def test_a_run_that_is_killed_before_it_takes_them_up_loses_none(tracking: Tracking, tmp_path: Path) -> None:
    """At whichever chunk it was, corrected there, behind and ahead; whoever resumes it takes them up."""
    out = tmp_path / "p"
    places = {1: (5, 30, 20), 3: (33, 8, 8), 4: (22, 44, 24), 5: (41, 20, 4)}
    for at, (frame, x, y) in places.items():
        run = tracking(out, at)
        answer = tam_dist.correct(out, [tam_dist.mask("cat", square(x, y), frame=frame)])
        assert answer.live
        run.kill()
    assert command(["resume", str(out), "--executor", "inline", "--quiet"]) == 0
    assert settled(out)
    found = tam_dist.Project.open(out)
    for frame, x, y in places.values():
        assert np.array_equal(found.masks["cat"][frame], square(x, y))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thirty_kills_between_what_was_acknowledged_and_what_came_of_it(tracking: Tracking, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    out = tmp_path / "p"
    given: dict[int, np.ndarray] = {}
    for number in range(30):
        frame = int(rng.integers(1, 44))
        mask = square(int(rng.integers(0, 48)), int(rng.integers(0, 32)))
        run = tracking(out, -1)
        if number % 4 == 3 and given:
            assert tam_dist.undo(out).live
            given.popitem()
        given.pop(frame, None)
        given[frame] = mask
        assert tam_dist.correct(out, [tam_dist.mask("cat", mask, frame=frame)]).live
        run.kill()
    tam_dist.resume(out)
    assert settled(out)
    found = tam_dist.Project.open(out)
    for frame, mask in given.items():
        assert np.array_equal(found.masks["cat"][frame], mask)

"""Whole runs: each project by itself, whatever happens to another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tam_dist.errors import ExitCode, ExportError
from tam_dist.export import many
from tam_dist.export.many import ExportJob, JobResult, export_one, export_run, in_processes, is_run
from tam_dist.export.request import ExportRequest
from tam_dist.project import Project
from tests.finished import CHUNK, finished_project, shapes
from tests.tiny import moving_square, write_frames

FRAMES = 12


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three projects, the second of which is tracked in part."""
    folder = tmp_path_factory.mktemp("run")
    for name, tracked in (("a", None), ("b", 1), ("c", None)):
        video = write_frames(folder / "videos" / name, moving_square(FRAMES))
        finished_project(folder / "runs" / name, video, shapes(FRAMES, 48, 64), ["cat", "dog", "bird"], tracked=tracked)
    (folder / "runs" / "notes").mkdir()
    return folder / "runs"


def in_this_process(jobs: Sequence[ExportJob]) -> Iterator[JobResult]:
    return map(export_one, jobs)


def ignore(_: JobResult) -> None:
    pass


def test_a_run_is_told_from_a_project(run_folder: Path, tmp_path: Path) -> None:
    assert is_run(str(run_folder))
    assert not is_run(str(run_folder / "a"))
    assert not is_run(str(tmp_path))


def test_each_project_is_exported_under_its_name_in_processes(run_folder: Path, tmp_path: Path) -> None:
    shown: list[str] = []
    done = export_run(
        str(run_folder), str(tmp_path / "out"), ExportRequest("davis"), in_processes(2), show=lambda r: shown.append(r.name)
    )
    assert sorted(shown) == ["a", "b", "c"]
    assert [r.name for r in done.done] == ["a", "c"]
    (failure,) = done.failed
    assert "--partial" in failure.reason
    assert done.exit_code == ExitCode.SOME_FAILED
    for name in ("a", "c"):
        labels = Project.open(run_folder / name).labels[:]
        for t in range(FRAMES):
            with Image.open(tmp_path / "out" / name / "Annotations" / "Full-Resolution" / name / f"{t:05d}.png") as image:
                np.testing.assert_array_equal(np.asarray(image), labels[t])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "c"]


def test_a_second_command_does_what_is_left(run_folder: Path, tmp_path: Path) -> None:
    words = (str(run_folder), str(tmp_path))
    export_run(*words, ExportRequest("mots"), in_this_process, show=ignore)
    stamp = (tmp_path / "a.txt").stat().st_mtime_ns
    again = export_run(*words, ExportRequest("mots"), in_this_process, show=ignore)
    assert (again.already, [r.name for r in again.failed], again.done) == (("a", "c"), ["b"], ())
    assert (tmp_path / "a.txt").stat().st_mtime_ns == stamp
    other = export_run(*words, ExportRequest("mots", every=2), in_this_process, show=ignore)
    assert [r.name for r in other.failed] == ["a", "b", "c"]  # exports of another kind lie there
    assert other.exit_code == ExitCode.FAILED
    anew = export_run(*words, ExportRequest("mots", every=2, partial=True), in_this_process, replace=True, show=ignore)
    assert [(r.name, r.frames, r.untracked) for r in anew.done] == [("a", 6, 0), ("b", CHUNK // 2, 2), ("c", 6, 0)]
    assert anew.exit_code == ExitCode.DONE


def _killed(job: ExportJob) -> JobResult:
    if job.name == "a":
        os.kill(os.getpid(), signal.SIGKILL)
    return export_one(job)


def test_a_process_that_dies_takes_no_other_with_it(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "_child", _dying_child)
    done = export_run(str(run_folder), str(tmp_path / "out"), ExportRequest("mot"), in_processes(2), show=ignore)
    assert [r.name for r in done.done] == ["c"]
    assert "died" in {r.name: r.reason for r in done.failed}["a"]
    assert not (tmp_path / "out" / "a").exists()


def _dying_child(job: ExportJob, sender: object) -> None:
    sender.send(_killed(job))  # type: ignore[attr-defined]


def test_an_export_that_does_not_end_is_ended(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "_child", _deaf_child)
    monkeypatch.setattr(many, "_PATIENCE", 0.5)
    jobs = [ExportJob(name, str(run_folder / name), str(tmp_path / name), ExportRequest("mot"), False) for name in "ac"]
    results = iter(in_processes(2)(jobs))
    assert next(results).name == "a"
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def _deaf_child(job: ExportJob, sender: object) -> None:
    """Of a process in which interrupts are held back still."""
    if job.name == "c":
        time.sleep(600)
    sender.send(JobResult(job.name))  # type: ignore[attr-defined]


#: It waits behind its first line: without, the other videos were at times done before the signal came.
_INTERRUPTED = """
import signal, sys, time
from tam_dist.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in a shell's background inherit that it is ignored

write, told = sys.stderr.write, []

def write_and_wait(text):
    told.append(text)
    written = write(text)
    if "12 frames" in "".join(told) and text.endswith("\\n"):
        sys.stderr.flush()
        time.sleep(60)
    return written

if __name__ == "__main__":
    sys.stderr.write = write_and_wait
    main(["export", sys.argv[1], "-f", "binary-png", "-o", sys.argv[2], "--workers", "1"])
"""


def test_an_interrupted_export_of_a_run_ends_at_once_and_quietly(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_INTERRUPTED)
    words = [sys.executable, str(tmp_path / "program.py"), str(run_folder), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    child = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert child.stderr is not None
    first = child.stderr.readline()
    os.killpg(child.pid, signal.SIGINT)
    _, rest = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "12 frames" in first
    assert "Traceback" not in rest
    assert not [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def test_what_is_wrong_with_the_wish_is_said_once(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="did you mean coco"):
        export_run(str(run_folder), str(tmp_path / "o"), ExportRequest("cocoo"), in_this_process, show=ignore)
    with pytest.raises(ExportError, match="s3://out"):
        export_run(str(run_folder), "s3://out", ExportRequest("coco"), in_this_process, show=ignore)

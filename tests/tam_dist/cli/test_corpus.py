"""``run``, ``status``, ``cancel`` and ``plan`` as their users meet them: words in, text and exit codes out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tam_dist
from storage.location import Location
from tam_dist.cli import run as command
from tam_dist.errors import ExitCode
from tam_dist.monitoring.report import read_report
from tests.tam_dist.corpus.conftest import encode_clip
from tests.tiny import moving_square, write_frames

Settings = tuple[str, ...]
PROMPTS = [{"object": "cat", "frame": 0, "clicks": [[12, 18, 1]]}]
INLINE = ["--executor", "inline"]


def make_corpus(folder: Path) -> Path:
    """Two clips and a line whose video is missing."""
    for name, frames in (("a", 12), ("b", 20)):
        encode_clip(folder / f"{name}.mp4", frames)
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps({"video": f"{name}.mp4", "prompts": PROMPTS}) + "\n" for name in "abc"))
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def finished(corpus: Path, tiny_settings: Settings) -> Path:
    """The folder of a run that has ended."""
    out = corpus.parent / "finished"
    assert command(["run", str(corpus), "--out", str(out), *INLINE, *tiny_settings]) == ExitCode.SOME_FAILED
    return out


def long_corpus(folder: Path, frames: int) -> Path:
    """Two videos that take longer than a test needs to look at them."""
    write_frames(folder / "long", moving_square(frames))
    path = folder / "long.jsonl"
    path.write_text("".join(json.dumps({"video": "long", "prompts": PROMPTS, "name": f"v{n}"}) + "\n" for n in range(2)))
    return path


def start(corpus: Path, out: Path, settings: Settings) -> subprocess.Popen[str]:
    """``tam-dist run`` in a process of its own."""
    code = "import sys; from tam_dist.cli import main; main(sys.argv[1:])"
    arguments = ["run", str(corpus), "--out", str(out), *INLINE, "--json", *settings]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=os.getcwd()
    )


def until(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def frames_done(out: Path) -> int:
    """By the run that goes on."""
    report = read_report(Location.parse(out))
    return 0 if report is None or report.ended is not None else report.new_frames


def test_a_run_says_what_became_of_it(corpus: Path, tiny_settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    out = corpus.parent / "out"
    assert command(["run", str(corpus), "--out", str(out), *INLINE, *tiny_settings]) == ExitCode.SOME_FAILED
    said = capfd.readouterr()
    assert f"2 videos done, 1 failed (reasons in {out}/failed.jsonl); 32 frames" in said.out
    assert f"c failed: There is no video at {corpus.parent}/c.mp4." in said.err
    assert "run the same command again" in said.err


def test_a_second_run_and_its_json(finished: Path, tiny_settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    corpus = finished.parent / "corpus.jsonl"
    assert command(["run", str(corpus), "--out", str(finished), *INLINE, "--json", "--quiet", *tiny_settings]) == 3
    said = capfd.readouterr()
    counts = json.loads(said.out)
    assert {key: counts[key] for key in ("done", "already", "failed", "frames")} == {
        "done": 0,
        "already": 2,
        "failed": 1,
        "frames": 0,
    }
    assert said.err == ""


def test_a_folder_with_one_rule(corpus: Path, tiny_settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    out = corpus.parent / "ruled"
    click = ["--click", "cat@0:12,18"]
    assert command(["run", str(corpus.parent / "?.mp4"), *click, "--out", str(out), *INLINE, *tiny_settings]) == ExitCode.DONE
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["nothing.jsonl"], 2, "There is no corpus nothing.jsonl"),
        (["{corpus}", "--executor", "magic"], 2, "There is no executor 'magic'"),
        (["{corpus}", "propagation.mem_evry=3"], 2, "mem_every"),
        (["{corpus}", "models.xmem=/nowhere.pth", *INLINE], 1, "/nowhere.pth"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, reason: str, corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = [argument.replace("{corpus}", str(corpus)) for argument in arguments]
    assert command(["run", *given, "--out", str(corpus.parent / "refused")]) == code
    assert reason in capfd.readouterr().err
    assert not (corpus.parent / "refused").exists()


def test_status_of_a_run_that_has_ended(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(["status", str(finished)]) == 0
    shown = capfd.readouterr().out
    for words in ("done", "failed", "20/20", "There is no video at", "1 of 3 are not done."):
        assert words in shown
    assert command(["status", str(finished), "--json"]) == 0
    fields = json.loads(capfd.readouterr().out)
    assert (fields["live"], fields["counts"]) == (False, {"done": 2, "failed": 1})
    assert fields["seconds_per_megapixel"]["propagator"] > 0


def test_status_of_a_project_and_of_a_folder_of_projects(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(["status", str(finished / "b")]) == 0
    assert "20/20" in capfd.readouterr().out
    without_report = shutil.copytree(finished, finished.parent / "copy", ignore=shutil.ignore_patterns("run.json"))
    assert command(["status", str(without_report), "--json"]) == 0
    assert [v["state"] for v in json.loads(capfd.readouterr().out)["videos"]] == ["done", "done"]
    assert command(["status", str(finished.parent / "nothing")]) == 1
    assert "neither a project nor the folder of a run" in capfd.readouterr().err


def test_a_plan(finished: Path, tiny_settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    corpus = str(finished.parent / "corpus.jsonl")
    assert command(["plan", corpus, "--out", str(finished.parent / "nowhere"), *tiny_settings]) == 0
    shown = capfd.readouterr().out
    for words in ("propagator-0", "There is no video at", "32 frames, about", "not measured on this machine"):
        assert words in shown
    assert command(["plan", corpus, "--out", str(finished), *INLINE, *tiny_settings, "--json"]) == 0
    assert [v["state"] for v in json.loads(capfd.readouterr().out)["videos"]] == ["done", "done", "failed"]


def test_nothing_to_cancel(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for where in (finished, finished / "a", finished.parent / "nothing"):
        assert command(["cancel", str(where)]) == 1
        assert "Nothing is being tracked in" in capfd.readouterr().err


def test_watching_and_cancelling_a_run_of_another_process(
    tmp_path: Path, tiny_settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    process = start(long_corpus(tmp_path, 800), out, tiny_settings)
    until(lambda: frames_done(out), process)
    assert command(["status", str(out)]) == 0
    shown = capfd.readouterr().out
    for words in ("tracking", "propagator", f"Being written by process {process.pid}", "stage"):
        assert words in shown
    assert command(["cancel", str(out), "--video", "v00"]) == ExitCode.USAGE
    assert "did you mean 'v" in capfd.readouterr().err
    assert command(["cancel", str(out / "v0")]) == 0
    assert command(["cancel", str(out)]) == 0
    result, _ = process.communicate(timeout=120)
    counts = json.loads(result)
    assert (counts["cancelled"], counts["done"], process.returncode) == (2, 0, ExitCode.INTERRUPTED)
    assert tam_dist.Project.open(out / "v1").status.state == "cancelled"


def test_interrupting_and_killing_a_run_changes_no_mask(
    tmp_path: Path, tiny_settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    corpus, out = long_corpus(tmp_path, 240), tmp_path / "out"
    process = start(corpus, out, tiny_settings)
    until(lambda: frames_done(out), process)
    process.send_signal(signal.SIGINT)
    result, said = process.communicate(timeout=120)
    assert process.returncode == ExitCode.INTERRUPTED
    assert json.loads(result)["stopped"] == 2
    assert "stopping after the chunk under way" in said

    process = start(corpus, out, tiny_settings)
    until(lambda: frames_done(out), process)
    process.kill()
    process.communicate()
    assert command(["status", str(out), "--json"]) == 0
    fields = json.loads(capfd.readouterr().out)
    assert (fields["live"], {v["state"] for v in fields["videos"]}) == (False, {"interrupted"})

    assert command(["run", str(corpus), "--out", str(out), *INLINE, *tiny_settings]) == ExitCode.DONE
    given = [tam_dist.click("cat", 12, 18)]
    alone = tam_dist.track(tmp_path / "long", given, out=tmp_path / "alone", settings=tiny_settings)
    for name in ("v0", "v1"):
        assert np.array_equal(tam_dist.Project.open(out / name).labels[:], alone.labels[:])

"""Looking at runs and projects from outside, and asking them to cancel."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import tam_dist
from storage import lock
from storage.location import Location
from tam_dist.cli import run as command
from tam_dist.config import load_config
from tam_dist.coordination.events import VideoEnded, VideoStarted, Waiting
from tam_dist.errors import ConfigError, ProjectError
from tam_dist.monitoring import monitor
from tam_dist.monitoring.cancelling import cancel
from tam_dist.monitoring.monitor import RunMonitor, watch_project
from tam_dist.monitoring.report import VideoReport, read_report
from tam_dist.monitoring.requests import Requests
from tam_dist.monitoring.status import INTERRUPTED, look
from tam_dist.preparation import prepare, settle
from tests.tam_dist.monitoring.test_report import CONDITIONS, job


@pytest.fixture(params=["local", "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4().hex}/out"


@pytest.fixture
def live(where: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunMonitor]:
    """A run with a video that is tracked, one that waits, and one that is done."""
    for name in ("LOCAL_SECONDS", "REMOTE_SECONDS", "LOCAL_LOOK_SECONDS", "REMOTE_LOOK_SECONDS"):
        monkeypatch.setattr(monitor, name, 1e-9)
    monkeypatch.setattr(monitor, "_WRITING_SHARE", 1e9)
    folder = Location.parse(where)
    held = lock.acquire(folder)
    with RunMonitor(folder, CONDITIONS) as watched:
        for name in ("tracked", "waiting"):
            watched.add(name, job(name))
        watched.note(VideoReport("done", "done.mp4", "done", 40, 40))
        watched(VideoStarted("/out/tracked", 0, 0, 16, 40))
        yield watched
        held.release()


def test_a_run_that_goes_on(live: RunMonitor, where: str) -> None:
    found = look(where)
    assert found.live
    assert {v.name: (v.state, v.frames_done) for v in found.videos} == {
        "tracked": ("tracking", 16),
        "waiting": ("waiting", 0),
        "done": ("done", 40),
    }
    assert f"process {os.getpid()}" in found.sentence


def test_a_run_whose_process_is_gone(live: RunMonitor, where: str) -> None:
    report = read_report(Location.parse(where))
    other = Location.parse(where.replace("out", "copy"))
    assert report is not None
    (other / "run.json").write(report.to_json().encode())
    found = look(str(other))
    assert {v.name: v.state for v in found.videos} == {"tracked": INTERRUPTED, "waiting": INTERRUPTED, "done": "done"}
    assert "is gone" in found.sentence
    with pytest.raises(ProjectError, match="Nothing is being tracked"):
        cancel(str(other))


@pytest.mark.parametrize(
    ("child", "names", "asked"),
    [
        ("", None, ["tracked", "waiting"]),
        ("", ["waiting"], ["waiting"]),
        ("/tracked", None, ["tracked"]),
        ("/", None, ["tracked", "waiting"]),
    ],
)
def test_what_is_asked_for_is_cancelled(
    child: str, names: list[str] | None, asked: list[str], live: RunMonitor, where: str
) -> None:
    assert cancel(where + child, names) == asked
    assert sorted(live.requests().cancel) == [f"/out/{name}" for name in asked]
    assert live.requests() == Requests()


def test_what_is_not_tracked_cannot_be_cancelled(live: RunMonitor, where: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tracked'"):
        cancel(where, ["trakced"])
    with pytest.raises(ConfigError, match="'done' is not being tracked"):
        cancel(f"{where}/done")
    live(VideoEnded("/out/tracked", "done", None))
    with pytest.raises(ConfigError, match="'tracked' is not being tracked"):
        cancel(where, ["tracked"])
    assert live.requests() == Requests()


def test_the_project_of_a_single_video(tmp_path: Path, tiny_video: Path, tiny_settings: tuple[str, ...]) -> None:
    out = tmp_path / "p"
    click = ["--click", "cat@0:10,14", "--executor", "inline", "--quiet"]
    assert command(["track", str(tiny_video), "-o", str(out), *click, *tiny_settings]) == 0
    found = look(str(out))
    assert [(v.name, v.state, v.frames_done) for v in found.videos] == [("p", "done", 44)]
    assert found.report is not None
    assert found.report.new_frames == 44
    assert not found.live
    assert tam_dist.Project.open(out).status.state == "done"


def test_a_video_that_is_about_to_be_tracked_in_a_folder(
    tmp_path: Path, tiny_video: Path, tiny_settings: tuple[str, ...]
) -> None:
    """Before its run has taken the project's lock, as while Ray starts, and seen from the folder above."""
    folder, project = tmp_path / "runs", tmp_path / "runs" / "p"
    settings = settle(load_config(tiny_settings))
    made = prepare(str(tiny_video), [tam_dist.click("cat", 10, 14)], str(project), settings)
    (folder / "a file").write_text("of the user")
    with pytest.raises(ProjectError, match="Nothing is being tracked"):
        cancel(str(folder))
    with watch_project(made, settings, "ray") as watched:
        watched(Waiting("Ray to start"))
        for place in (folder, project):
            found = look(str(place))
            assert (found.live, [v.state for v in found.videos]) == (True, ["waiting"])
        assert cancel(str(folder)) == ["p"]
        watched._look_due = 0.0
        assert watched.requests() == Requests(cancel=frozenset({made.project}))
        assert cancel(str(folder), ["p"]) == ["p"]
    assert [v.state for v in look(str(folder)).videos] == ["new"]

"""The report of a run: what events make of it, its file, and requests from other processes."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.location import Location
from tam_dist.coordination.calls import Role
from tam_dist.coordination.events import (
    ChunkCommitted,
    ChunkDecoded,
    ChunkTracked,
    StageLoad,
    StagesMeasured,
    VideoEnded,
    VideoStarted,
    Waiting,
)
from tam_dist.coordination.video import VideoJob
from tam_dist.errors import ProjectLockedError, SchemaError
from tam_dist.monitoring import monitor
from tam_dist.monitoring.monitor import RunMonitor
from tam_dist.monitoring.report import PREPARING, REPORT, Conditions, RunRecorder, RunReport, VideoReport, read_report
from tam_dist.monitoring.requests import REQUESTS, Desk, Requests, ask_to_cancel, ask_to_refresh, driver
from tam_dist.tracking.spec import VideoGrid
from tests.tam_dist.coordination.test_stages import Clock

CONDITIONS = Conditions("inline", "embedded", "embedded", "cpu", 480)
ROOT = "/out"


def job(name: str, width: int = 1920, height: int = 960) -> VideoJob:
    return VideoJob(f"{ROOT}/{name}", f"{name}.mp4", "pyav", VideoGrid(width, height, 40, 16))


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return Location.parse(tmp_path if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def measured(seconds: dict[Role, float], calls: int) -> StagesMeasured:
    return StagesMeasured(tuple(StageLoad(role, 1, 0.5, 0, each, calls) for role, each in seconds.items()), 0)


def test_a_video_from_waiting_to_done() -> None:
    clock = Clock()
    recorder = RunRecorder(CONDITIONS, clock=clock)
    recorder.note(VideoReport("a", "a.mp4", PREPARING))
    recorder.note(VideoReport("b", "b.mp4", "failed", reason="It is empty."))
    recorder.add("a", job("a"))
    assert recorder.report().counts == {"waiting": 1, "failed": 1}
    recorder(Waiting("Ray to start"))
    assert recorder.report().waiting_for == "Ray to start"
    recorder(VideoStarted(f"{ROOT}/a", 1, 1, 16, 44))
    assert recorder.report().waiting_for == ""
    for chunk, frames in ((1, 16), (2, 8)):
        clock.now += 4
        recorder(ChunkCommitted(f"{ROOT}/a", chunk, frames, min(16 * (chunk + 1), 40), new=True))
    recorder(VideoStarted(f"{ROOT}/a", 3, 3, 40, 44))  # after a replay: the clock goes on
    (video, _) = recorder.report().videos
    assert video == VideoReport("a", "a.mp4", "tracking", 40, 40, 24 / 8)
    recorder(VideoEnded(f"{ROOT}/a", "done", None))
    recorder(VideoEnded("/another/run's", "failed", ValueError("x")))
    report = recorder.report(ended=True)
    assert report.finished
    assert report.new_frames == 24
    assert report.frames_per_second == 8 / 4  # the first commit starts the clock
    assert report.ended is not None


def test_cost_is_counted_at_the_size_that_each_stage_works_at() -> None:
    recorder = RunRecorder(CONDITIONS)
    recorder.add("a", job("a"))
    worked = {Role.DECODER: 1.0, Role.PROPAGATOR: 8.0, Role.REFINER: 0.0, Role.WRITER: 2.0}
    recorder(measured(dict.fromkeys(worked, 5.0), calls=9))  # for others, before this run
    recorder(measured({role: 5.0 + seconds / 2 for role, seconds in worked.items()}, calls=10))
    recorder(measured({role: seconds / 2 for role, seconds in worked.items()}, calls=1))  # by another coordinator
    recorder(ChunkDecoded(f"{ROOT}/a", 0, 10 * 1920 * 960 * 3))
    recorder(ChunkTracked(f"{ROOT}/a", 0, 10))
    recorder(ChunkCommitted(f"{ROOT}/a", 0, 10, 10, new=True))
    source, working = 10 * 1.92 * 0.96, 10 * 0.96 * 0.48
    expected = {"decoder": 1 / source, "propagator": 8 / working, "writer": 2 / source}
    report = recorder.report()
    assert report.seconds_per_megapixel == pytest.approx(expected)
    assert RunRecorder(CONDITIONS, report).report().seconds_per_megapixel == pytest.approx(expected)  # of a run without work
    assert RunRecorder(replace(CONDITIONS, device="cuda"), report).report().seconds_per_megapixel == {}


@given(st.text(max_size=8), st.floats(0, 1e6), st.sampled_from([None, *Role]))
def test_a_report_survives_its_file(name: str, number: float, role: Role | None) -> None:
    recorder = RunRecorder(CONDITIONS)
    recorder.note(VideoReport(name, "a.mp4", "failed", 3, 9, number, "It broke."))
    if role is not None:
        recorder(measured({role: 0.0}, calls=0))
        recorder(measured({role: number}, calls=1))
    report = recorder.report()
    assert RunReport.from_json(report.to_json(), "x") == report


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema_version": 1, "bottleneck": {"role": "cook"}}'])
def test_a_damaged_report_is_named(text: str, folder: Location) -> None:
    (folder / REPORT).write(text.encode())
    with pytest.raises(SchemaError, match=REPORT):
        read_report(folder)


def test_a_newer_report_is_refused(folder: Location) -> None:
    fields = json.loads(RunRecorder(CONDITIONS).report().to_json())
    (folder / REPORT).write(json.dumps(fields | {"schema_version": 99}).encode())
    with pytest.raises(SchemaError, match="newer"):
        read_report(folder)


def test_requests_are_taken_once_by_one_driver_at_a_time(folder: Location) -> None:
    ask_to_cancel(folder, ["a"])  # of an earlier run
    desk = Desk(folder)
    assert driver(folder) is None
    desk.open()
    assert str(driver(folder)).startswith(f"process {os.getpid()}")
    assert desk.take(["a"]) == Requests()
    ask_to_cancel(folder, ["a", "a.b c"])
    ask_to_refresh(folder, "d")
    ask_to_refresh(folder, "d")
    assert desk.take(["a", "a.b c", "d"]) == Requests(frozenset({"a", "a.b c"}), frozenset({"d"}))
    assert desk.take(["a"]) == Requests()
    ask_to_cancel(folder)
    with pytest.raises(ProjectLockedError):
        Desk(folder).open()
    assert desk.take(["a", "d"]) == Requests(cancel=frozenset({"a", "d"}))
    ask_to_cancel(folder)
    desk.close()
    assert desk.take(["a"]) == Requests()
    assert driver(folder) is None
    assert REQUESTS not in folder.children()


def test_a_second_driver_leaves_the_first_ones_report_alone(folder: Location) -> None:
    with RunMonitor(folder, CONDITIONS) as first:
        first.add("a", job("a"))
        before = read_report(folder)
        with RunMonitor(folder, CONDITIONS) as second:
            second.note(VideoReport("b", "b.mp4", "done"))
        assert read_report(folder) == before
        assert driver(folder) is not None


def test_a_monitor_writes_shows_and_asks(folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "LOCAL_SECONDS",
        "REMOTE_SECONDS",
        "LOCAL_LOOK_SECONDS",
        "REMOTE_LOOK_SECONDS",
        "SHOW_SECONDS",
        "_WRITING_SHARE",
    ):
        monkeypatch.setattr(monitor, name, 1e-9 if "SECONDS" in name else 1e9)
    shown: list[RunReport] = []
    ask_to_cancel(folder, ["a"])  # of an earlier run: nobody means this one
    with RunMonitor(folder, CONDITIONS, shown.append) as watched:
        assert read_report(folder) is not None
        watched.add("a", job("a"))
        assert watched.requests() == Requests()
        ask_to_cancel(folder, ["a", "nobody"])
        assert watched.requests() == Requests(cancel=frozenset({f"{ROOT}/a"}))
        watched(VideoStarted(f"{ROOT}/a", 0, 0, 0, 44))
        read = read_report(folder)
        assert read is not None
        assert (read.counts, read.ended) == ({"tracking": 1}, None)
        watched(VideoEnded(f"{ROOT}/a", "cancelled", None))
    read = read_report(folder)
    assert read is not None
    assert read.ended is not None
    assert shown[-1].counts == read.counts == {"cancelled": 1}


def test_a_report_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with RunMonitor(Location.parse(tmp_path / "file"), CONDITIONS) as watched:
        watched.note(VideoReport("a", "a.mp4", PREPARING))
        watched.requests()
    assert "run.json" in caplog.text

"""Lines that a machine can read: each one an object, with what it is about."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tam_dist import logs
from tam_dist.cli import run
from tam_dist.coordination.calls import Role, WorkerId
from tam_dist.coordination.events import (
    ChunkCommitted,
    Event,
    SessionRef,
    VideoEnded,
    VideoReplayed,
    VideoStarted,
    Waiting,
    WorkerDied,
)
from tam_dist.errors import ConfigError
from tam_dist.monitoring.event_log import EventLog
from tam_dist.tracking.passes import Direction, Pass

SESSION = SessionRef(Pass(0, 3, Direction.BACKWARD), 7)


@pytest.fixture(autouse=True)
def format_of_old(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is the process's: what a test sets up must be gone after it."""
    monkeypatch.setenv(logs.VARIABLE, "text")
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in ("tam_dist", "actors", "storage")}
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.VARIABLE, "json")
    logs.set_up_logs()
    logs.set_up_logs()  # again, as actors in one process do; a line is still told once


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (Waiting("Ray to start"), {"event": "waiting", "message": "waiting for Ray to start"}),
        (VideoStarted("a", 0, 2, 32, 48, SESSION), {"event": "started", "pass": "backward 0..2", "generation": 7, "chunk": 2}),
        (
            ChunkCommitted("a", 1, 16, 48, True, SESSION),
            {"event": "committed", "video": "a", "pass": "backward 0..2", "generation": 7, "chunk": 1, "frames_done": 48},
        ),
        (VideoReplayed("a", 1, Role.PROPAGATOR, SESSION), {"event": "replayed", "generation": 7, "because": "propagator"}),
        (WorkerDied(WorkerId(Role.WRITER, 0), "a"), {"event": "worker_died", "worker": "writer-0", "level": "warning"}),
        (VideoEnded("a", "done", None), {"event": "ended", "state": "done", "level": "info"}),
        (VideoEnded("a", "failed", ValueError("x")), {"event": "ended", "error": "x", "level": "error"}),
    ],
)
def test_an_event_is_a_line(event: Event, fields: dict[str, object], as_json: None, capsys: pytest.CaptureFixture[str]) -> None:
    EventLog()(event)
    [line] = lines(capsys.readouterr().err)
    assert fields.items() <= line.items()
    assert {"time", "level", "logger", "message"} <= line.keys()


def test_waiting_is_told_once(as_json: None, capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLog()
    for what in ("Ray to start", "Ray to start", "the models to load", "Ray to start"):
        log(Waiting(what))
    told = [line["message"] for line in lines(capsys.readouterr().err)]
    assert told == ["waiting for Ray to start", "waiting for the models to load", "waiting for Ray to start"]


def test_a_traceback_stays_in_its_line(as_json: None, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("tam_dist.x").exception("it failed")
    [line] = lines(capsys.readouterr().err)
    assert "two\nlines" in str(line["traceback"])


def test_text_says_nothing_of_events(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up_logs()
    EventLog()(Waiting("Ray to start"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["--log-format", "json"], ["--log-format=json"]])
@pytest.mark.parametrize("first", [True, False])
def test_all_of_standard_error_is_json(
    words: list[str], first: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["status", str(tmp_path / "nothing")]
    code = run([*words, *command] if first else [*command, *words])
    captured = capsys.readouterr()
    [line] = lines(captured.err)
    assert code != 0
    assert str(line["message"]).startswith("error: ")
    assert captured.out == ""


@pytest.mark.parametrize("words", [["--log-format", "xml"], ["--log-format"]])
def test_another_format_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", *words]) == ConfigError.exit_code
    assert "text or json" in capsys.readouterr().err


class Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "no space left")


def test_a_full_standard_error_stops_nothing(as_json: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    EventLog()(Waiting("Ray to start"))


def test_a_wrong_variable_is_told_and_not_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(logs.VARIABLE, "xml")
    assert run(["config"]) == ConfigError.exit_code
    assert "'xml' is no format of logs" in capsys.readouterr().err

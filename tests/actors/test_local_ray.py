"""A local Ray as the command starts it: it is stopped in an orderly way, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tam_dist
from actors.connection import _own_signal_handlers, sessions_folder
from storage.location import Location
from tam_dist.monitoring.cancelling import cancel
from tam_dist.monitoring.status import look
from tests.actors.chaos import wait_until
from tests.tiny import moving_square, write_frames


def test_a_process_keeps_its_signal_handlers() -> None:
    def own(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, own)
    try:
        with _own_signal_handlers():
            signal.signal(signal.SIGTERM, lambda *_: None)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def start(tmp_path: Path, settings: tuple[str, ...]) -> subprocess.Popen[str]:
    video = write_frames(tmp_path / "video", moving_square(2000))
    words = ["track", str(video), "--click", "cat@0:12,18", "-o", str(tmp_path / "runs" / "p"), "--executor", "ray"]
    command = [sys.executable, "-c", "from tam_dist.cli import main; main()", *words, *settings]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_sigterm_saves_says_how_to_go_on_and_cleans_up(settings: tuple[str, ...], tmp_path: Path) -> None:
    child = start(tmp_path, settings)
    project = tmp_path / "runs" / "p"
    try:
        wait_until(lambda: (project / "run.json").exists() or child.poll() is not None, 60, "the report")
        found = look(str(project))
        assert found.live  # also while Ray starts
        assert found.videos[0].state == "waiting"
        wait_until(lambda: any((project / "commits").glob("*")) or child.poll() is not None, 120, "the first commit")
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 130
    assert f"tam-dist resume {project}" in err
    assert "SIGTERM" not in err
    assert not list(sessions_folder().glob(f"session_*_{child.pid}"))
    assert 0 < tam_dist.Project.open(project).status.frames_done < 2000


@pytest.mark.slow
def test_a_run_can_be_cancelled_while_ray_starts(settings: tuple[str, ...], tmp_path: Path) -> None:
    child = start(tmp_path, settings)
    try:
        wait_until(lambda: (tmp_path / "runs" / "p" / "run.json").exists() or child.poll() is not None, 60, "the report")
        assert cancel(str(Location.parse(tmp_path / "runs"))) == ["p"]  # as the folder's status shows it
        _, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 130
    assert "cancelled" in err

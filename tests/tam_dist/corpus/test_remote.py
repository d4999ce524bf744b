"""A corpus whose videos and projects lie behind a real S3 API, in a process of its own."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import tam_dist
from storage.location import Location
from tam_dist.config import load_config
from tam_dist.corpus.lines import PromptRule, read_corpus
from tam_dist.corpus.run import run_corpus
from tam_dist.monitoring import monitor
from tam_dist.monitoring.marks import FAILED
from tam_dist.monitoring.report import RunReport
from tam_dist.monitoring.status import look
from tam_dist.preparation import settle
from tests.storage.test_s3 import pytestmark, server
from tests.tam_dist.corpus.conftest import LENGTHS

__all__ = ["pytestmark", "server"]
RULE = PromptRule(clicks=("cat@0:12,18",))


def objects(prefix: str) -> dict[str, Any]:
    """ETag and time of every object below ``prefix``, but the run's own."""
    found = fsspec.filesystem("s3", skip_instance_cache=True).find(prefix, detail=True)
    return {key: (v["ETag"], v["LastModified"]) for key, v in found.items() if not key.endswith(("run.json", FAILED, ".lock"))}


def test_videos_and_projects_on_s3(
    server: subprocess.Popen[bytes],
    tmp_path: Path,
    clip: Callable[[Path, int], Path],
    tiny_settings: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(monitor, "SHOW_SECONDS", 0.0)  # at every event, so that the stop comes at the first masks
    config, s3 = settle(load_config(tiny_settings)), fsspec.filesystem("s3")
    for number in range(2):
        s3.put(str(clip(tmp_path / f"{number}.mp4", number)), f"bucket/videos/{number}.mp4")
    s3.pipe("bucket/videos/bad.mp4", b"no video")
    lines, out = read_corpus("s3://bucket/videos/*.mp4", RULE), "s3://bucket/out"
    assert [line.video for line in lines] == [f"s3://bucket/videos/{name}.mp4" for name in ("0", "1", "bad")]

    stop = threading.Event()

    def stop_in_the_middle(report: RunReport) -> None:
        if report.new_frames:
            stop.set()

    first = run_corpus(lines, out, config, "inline", show=stop_in_the_middle, stop=stop)
    assert first.stopped
    second = run_corpus(lines, out, config, "inline")
    assert (second.done + second.already, [failed.name for failed in second.failed]) == (2, ["bad"])
    assert first.frames + second.frames == sum(LENGTHS[:2])

    local = run_corpus(read_corpus(f"{tmp_path}/*.mp4", RULE), str(tmp_path / "out"), config, "inline")
    assert local.done == 2
    for name in "01":
        remote, here = tam_dist.Project.open(f"{out}/{name}"), tam_dist.Project.open(tmp_path / "out" / name)
        assert np.array_equal(remote.labels[:], here.labels[:])
        assert np.array_equal(remote.quality[:], here.quality[:])
    assert Location.parse(f"{out}/0/checkpoints").children()

    before = objects("bucket/out")
    third = run_corpus(lines, out, config, "inline")
    assert (third.done, third.already, third.frames) == (0, 2, 0)
    assert objects("bucket/out") == before
    found = look(out)
    assert (found.live, {v.name: v.state for v in found.videos}["bad"]) == (False, "failed")
    assert ".lock" not in Location.parse(out).children()

"""``tam-dist shots``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.tam_dist.cli.conftest import Command
from tests.tiny import moving_square, write_frames


def test_the_shots_of_a_video_are_told(tam_dist_command: Command, tmp_path: Path) -> None:
    film = np.concatenate([moving_square(20, seed=1), 255 - moving_square(13, seed=2), moving_square(15, seed=4)])
    video = write_frames(tmp_path / "film", film)
    ran = tam_dist_command("shots", video, "--json")
    assert ran.code == 0
    assert [cut["frame"] for cut in ran.json["cuts"]] == [20, 33]
    assert ran.json["shots"] == [{"first": 0, "last": 19}, {"first": 20, "last": 32}, {"first": 33, "last": 47}]
    assert ran.json["frames"] == 48
    assert all(0 < cut["strength"] <= 1 for cut in ran.json["cuts"])
    merged = tam_dist_command("shots", video, "--least", "14")
    assert len(merged.out.splitlines()) == 2
    missing = tam_dist_command("shots", tmp_path / "none.mp4")
    assert (missing.code, missing.out) == (1, "")
    assert "There is no video" in missing.err

"""``tam-dist sheet``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.project_store import ProjectStore
from tam_dist.project import Project
from tam_dist.prompts import parse_click
from tam_dist.sheet_frames import worst_frames
from tests.finished import finished_project, shapes
from tests.tam_dist.cli.conftest import Command
from tests.tiny import moving_square, write_frames


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("sheet")
    video = write_frames(folder / "clip", moving_square(40))
    made = finished_project(folder / "p", video, shapes(40, 48, 64), ["cat", "dog", "bird"])
    with ProjectStore.open(folder / "p", write=False) as store:
        store.append_prompts([parse_click("cat@7:5,5"), parse_click("dog@31:5,5"), parse_click("dog@7:1,1")])
    return made


def test_a_sheet_shows_the_frames_asked_for(tam_dist_command: Command, project: Project, tmp_path: Path) -> None:
    ran = tam_dist_command("sheet", project.location, "--out", tmp_path / "s.png", "--only", "prompted", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["frames"] == [7, 31]
    with Image.open(tmp_path / "s.png") as image:
        small = image.size
    assert tam_dist_command("sheet", project.location, "--out", tmp_path / "s.png", "--rows", "2").code == 0
    with Image.open(tmp_path / "s.png") as image:
        assert image.size > small
    ran = tam_dist_command("sheet", project.location, "--only", "worse")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "did you mean worst" in ran.err


def test_a_sheet_of_cuts_shows_the_first_frames_of_shots(tam_dist_command: Command, tmp_path: Path) -> None:
    dark, bright = moving_square(20), 255 - moving_square(20, seed=5)
    video = write_frames(tmp_path / "clip", np.concatenate([dark[:8], bright[8:]]))
    made = finished_project(tmp_path / "p", video, shapes(20, 48, 64), ["cat", "dog", "bird"])
    ran = tam_dist_command("sheet", made.location, "--out", tmp_path / "s.png", "--only", "cuts", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["frames"] == [0, 8]


def test_the_worst_frames_are_those_of_least_quality_and_apart() -> None:
    class Fake:
        quality = np.full((1000, 2), 0.9, np.float32)

    Fake.quality[500:520, 1] = 0.1 + np.arange(20) / 1000
    Fake.quality[40, 0] = 0.3
    Fake.quality[700] = np.nan
    assert worst_frames(Fake(), 3) == [40, 500, 510]  # type: ignore[arg-type]

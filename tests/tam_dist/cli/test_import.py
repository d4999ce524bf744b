"""``tam-dist import`` at the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tam_dist
from tam_dist.project import Project
from tests.finished import finished_project, shapes
from tests.tam_dist.cli.conftest import Command
from tests.tiny import moving_square, write_frames


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("cli")
    video = write_frames(folder / "clip", moving_square(12))
    return finished_project(folder / "p", video, shapes(12, 48, 64), ["cat", "dog", "bird"])


def test_masks_make_a_project_and_the_report_says_what_matched(
    tam_dist_command: Command, project: Project, tmp_path: Path, tiny_settings: tuple[str, ...]
) -> None:
    project.export("coco", tmp_path / "masks", frames=(0, 9))
    words = ["import", tmp_path / "masks", "--video", project.video.uri, "--out", tmp_path / "back"]
    ran = tam_dist_command(*words, *tiny_settings)
    assert ran.code == 0, ran.err
    assert "coco: 10 frames matched, 2 of the video have no masks" in ran.out
    assert "3 objects: 1 cat, 2 dog, 3 bird" in ran.out
    back = tam_dist.Project.open(tmp_path / "back")
    np.testing.assert_array_equal(back.labels[:10], project.labels[:10])
    assert tam_dist_command(*words, *tiny_settings).code == 2  # there is a project now
    assert tam_dist_command(*words, *tiny_settings, "--force", "--json").json["objects"] == {"cat": 1, "dog": 2, "bird": 3}


def test_imported_prompts_are_tracked_from(
    tam_dist_command: Command, project: Project, tmp_path: Path, tiny_settings: tuple[str, ...]
) -> None:
    project.export("mot", tmp_path / "boxes")
    ran = tam_dist_command(
        "import", tmp_path / "boxes", "--video", project.video.uri, "--as", "prompts", "--out", tmp_path / "asked"
    )
    assert ran.code == 0, ran.err
    words = ["--prompts", tmp_path / "asked" / "prompts.json", "-o", tmp_path / "p", "--executor", "inline", "--quiet"]
    assert tam_dist_command("track", project.video.uri, *words, *tiny_settings).code == 0
    assert [o.name for o in tam_dist.Project.open(tmp_path / "p").objects] == ["cat", "dog", "bird"]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["nothing", "--video", "{video}"], 1, "nothing"),
        (["masks"], 2, "--video"),
        (["masks", "--video", "{video}", "--as", "boxes"], 2, "boxes"),
        (["masks", "--video", "{video}", "--every", "3"], 2, "--as prompts"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    words: list[str], code: int, named: str, tam_dist_command: Command, project: Project, tmp_path: Path
) -> None:
    ran = tam_dist_command("import", *(w.format(video=project.video.uri) for w in words), "--out", tmp_path / "x")
    assert (ran.code, len(ran.err.splitlines())) == (code, 1), ran.err
    assert named in ran.err
    assert not (tmp_path / "x").exists()

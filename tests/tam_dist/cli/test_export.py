"""``tam-dist export`` at the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tam_dist.project import Project
from tests.finished import finished_project, shapes
from tests.tam_dist.cli.conftest import Command
from tests.tiny import moving_square, write_frames


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("cli")
    video = write_frames(folder / "clip", moving_square(12))
    return finished_project(folder / "p", video, shapes(12, 48, 64, objects=2), ["cat", "a, b"])


def test_an_export_says_what_it_wrote_and_where(tam_dist_command: Command, project: Project, tmp_path: Path) -> None:
    ran = tam_dist_command("export", project.location, "--format", "davis", "--out", tmp_path / "o", "--objects", "cat,a, b")
    assert ran.code == 2  # "a" and " b" are no objects
    words = ["--objects", "cat", "--objects", "a, b", "--frames", "3..7"]
    ran = tam_dist_command("export", project.location, "--format", "davis", "--out", tmp_path / "o", *words)
    assert ran.code == 0, ran.err
    assert str(tmp_path / "o") in ran.out
    ran = tam_dist_command("export", project.location, "-f", "davis", "-o", tmp_path / "o", "--replace", "--json")
    assert ran.json["frames"] == 12
    assert ran.json["objects"] == ["cat", "a, b"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--format", "dvis", "--out", "o"], "did you mean davis"),
        (["--format", "davis"], "--out"),
        (["--out", "o"], "--format"),
        (["--format", "davis", "--out", "o", "--frames", "9-12"], "9-12"),
        (["--format", "davis", "--out", "o", "--frames", "7..2"], "7..2"),
        (["--format", "binary-png", "--out", "o", "--images"], "--images"),
    ],
)
def test_a_wrong_wish_is_one_sentence(words: list[str], named: str, tam_dist_command: Command, project: Project) -> None:
    ran = tam_dist_command("export", project.location, *words)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert len(ran.err.splitlines()) == 1
    assert named in ran.err


def test_the_formats_are_listed(tam_dist_command: Command) -> None:
    from tam_dist.export.formats import FORMATS

    assert [line.split()[0] for line in tam_dist_command("export", "--list").out.splitlines()] == list(FORMATS)
    assert [form["name"] for form in tam_dist_command("export", "--list", "--json").json] == list(FORMATS)


def test_the_folder_of_a_run_is_exported_whole(tam_dist_command: Command, project: Project, tmp_path: Path) -> None:
    folder = Path(project.location).parent
    ran = tam_dist_command("export", folder, "-f", "mots", "-o", tmp_path, "--workers", "1")
    assert ran.code == 0, ran.err
    assert "1 video exported; 12 frames" in ran.out
    assert "p: 12 frames" in ran.err
    assert (tmp_path / "p.txt").is_file()
    again = tam_dist_command("export", folder, "-f", "mots", "-o", tmp_path, "--json").json
    assert (again["already"], again["done"], again["failed"]) == (["p"], [], [])
    ran = tam_dist_command("export", folder, "-f", "mots", "-o", tmp_path, "--replace", "--objects", "horse", "--workers", "1")
    assert ran.code == 1
    assert "horse" in ran.err

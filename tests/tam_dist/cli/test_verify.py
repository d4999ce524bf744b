"""The commands that look after stored projects: verify and clean."""

from __future__ import annotations

from pathlib import Path

import pytest

import tam_dist
from tam_dist.errors import ExitCode
from tests.tam_dist.cli.conftest import Command
from tests.tiny import square


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_video: Path, tiny_settings: tuple[str, ...]) -> Path:
    out = tmp_path_factory.mktemp("verify") / "p"
    tam_dist.track(tiny_video, [tam_dist.mask("cat", square(8, 10))], out=out, settings=tiny_settings)
    return out


def test_verify_tells_what_is_damaged(tam_dist_command: Command, project: Path) -> None:
    sound = tam_dist_command("verify", project)
    assert (sound.code, sound.out.splitlines()[-1]) == (ExitCode.DONE, "all masks are as committed")
    for chunk in (2, 3, 5):
        shard = project / f"masks.zarr/labels/c.{chunk}.0.0"
        shard.write_bytes(shard.read_bytes()[:-5])
    found = tam_dist_command("verify", project)
    assert found.code == ExitCode.FAILED
    assert "damaged        3 chunks: 2-3, 5" in found.out
    assert f"tam-dist resume {project}" in found.out
    as_json = tam_dist_command("verify", project, "--json").json
    assert (as_json["damaged"], as_json["sound"], as_json["done"]) == ([2, 3, 5], False, False)
    assert tam_dist_command("verify", project.parent).code == ExitCode.FAILED


def test_clean_says_what_it_freed(tam_dist_command: Command, project: Path) -> None:
    assert list((project / "checkpoints").iterdir())
    assert "MB freed in 1 projects" in tam_dist_command("clean", project).out
    assert not list((project / "checkpoints").iterdir())
    assert tam_dist_command("clean", project, "--json").json == [{"project": str(project), "freed": 0, "left_alone": None}]
    assert tam_dist_command("clean", project, "--keep-bytes", "-1").code == ExitCode.USAGE

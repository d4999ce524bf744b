"""``tam-dist weights``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tam_dist.errors import ExitCode
from tam_dist.models.checkpoints import OFFICIAL, REGISTRY, Weights
from tests.tam_dist.cli.conftest import Command


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Registered weights that lie in the folder mirror."""
    monkeypatch.setenv("TAM_DIST_WEIGHTS", str(tmp_path / "cache"))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "small.pth").write_bytes(b"weights")
    entry = Weights("small", "sam", "https://example.org/small.pth", 7, hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(REGISTRY, "small", entry)
    return entry


def test_weights_are_pulled_from_a_mirror_found_and_verified(small: Weights, tam_dist_command: Command, tmp_path: Path) -> None:
    ran = tam_dist_command("weights", "path", "small")
    assert (ran.code, ran.out) == (ExitCode.RESOURCES, "")
    assert "tam-dist weights pull small" in ran.err
    pulled = tam_dist_command("weights", "pull", "small", "--mirror", tmp_path / "mirror", "--offline")
    assert (pulled.code, pulled.out.strip()) == (0, str(small.path))
    assert tam_dist_command("weights", "path", "small").out.strip() == str(small.path)
    assert small.sha256 in tam_dist_command("weights", "verify", "small").out
    assert str(small.path) in tam_dist_command("weights", "list").out


def test_a_file_that_changed_is_found(small: Weights, tam_dist_command: Command) -> None:
    small.path.parent.mkdir()
    small.path.write_bytes(b"weighty")
    ran = tam_dist_command("weights", "verify", "small")
    assert ran.code == 1
    assert "is not small: its SHA-256" in ran.err


def test_pulling_offline_reaches_for_nothing(small: Weights, tam_dist_command: Command) -> None:
    ran = tam_dist_command("weights", "pull", "official", "--offline")
    assert ran.code == 1
    assert OFFICIAL[0] in ran.err
    assert "--offline" in ran.err
    assert tam_dist_command("weights", "pull", "smal").code == 1


def test_the_embedded_weights_are_undamaged(tam_dist_command: Command) -> None:
    for kind in ("xmem", "sam"):
        path = tam_dist_command("weights", "path", "embedded", "--kind", kind).out.strip()
        assert Path(path).name == f"{kind}.safetensors"
        assert "readable" in tam_dist_command("weights", "verify", path).out


def test_usage_is_explained(tam_dist_command: Command) -> None:
    for words, said in (
        (["weights", "pul"], "No such command 'pul'"),
        (["weights", "pull"], "see tam-dist weights pull --help"),
        (["weights", "path", "embedded", "--kind", "vgg"], "--kind must be xmem or sam"),
        (["track", "a.mp4", "--clck", "x"], "--clck"),
    ):
        ran = tam_dist_command(*words)
        assert ran.code == 2, words
        assert said in ran.err
        assert len(ran.err.splitlines()) == 1

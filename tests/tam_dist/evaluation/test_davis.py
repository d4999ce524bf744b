"""The contract: the folder is read as DAVIS lays it out, and the scores are those of the masks that the engine stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tam_dist.cli import run
from tam_dist.errors import ConfigError
from tam_dist.evaluation.davis import find_sequences, score_sequence
from tam_dist.types import UInt8Array
from tests.tiny import moving_square, write_frames

FRAMES = 12


def truth(t: int) -> UInt8Array:
    labels = np.zeros((48, 64), np.uint8)
    labels[10:26, 4 + 2 * t : 20 + 2 * t] = 1
    labels[40:46, 2:12] = 2
    return labels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("left", "right"):
        write_frames(tmp_path / "JPEGImages" / "480p" / name, moving_square(FRAMES))
        folder = tmp_path / "Annotations" / "480p" / name
        folder.mkdir(parents=True)
        for t in range(FRAMES):
            Image.fromarray(truth(t)).save(folder / f"{t:05d}.png")
    return tmp_path


def test_sequences_come_from_the_list_or_the_folder(root: Path) -> None:
    assert [s.name for s in find_sequences(root, 2017)] == ["left", "right"]
    listed = root / "ImageSets" / "2016"
    listed.mkdir(parents=True)
    (listed / "val.txt").write_text("right\n")
    assert [s.name for s in find_sequences(root, 2016)] == ["right"]
    with pytest.raises(ConfigError, match="'nowhere'"):
        find_sequences(root, 2016, ["nowhere"])
    with pytest.raises(ConfigError, match="layout"):
        find_sequences(root / "ImageSets", 2016)


def test_2016_merges_objects_and_2017_scores_each(root: Path) -> None:
    (merged,), (apart,) = find_sequences(root, 2016, ["left"]), find_sequences(root, 2017, ["left"])
    assert merged.objects() == [1]
    assert apart.objects() == [1, 2]
    (score,) = score_sequence(merged, lambda i: (truth(i) > 0).astype(np.uint8))
    assert score.j_and_f == 1
    first, second = score_sequence(apart, lambda i: np.where(truth(i) == 1, 1, 0).astype(np.uint8))
    assert first.j.mean == 1
    assert second.j.mean == second.f.mean == 0


def test_the_first_and_the_last_frame_are_not_scored(root: Path) -> None:
    (sequence,) = find_sequences(root, 2017, ["left"])
    asked: list[int] = []

    def predicted(index: int) -> UInt8Array:
        asked.append(index)
        return truth(index)

    list(score_sequence(sequence, predicted))
    assert asked == list(range(1, FRAMES - 1))


def test_masks_in_255_are_one_object(tmp_path: Path) -> None:
    write_frames(tmp_path / "JPEGImages" / "a", moving_square(3))
    (tmp_path / "Annotations" / "a").mkdir(parents=True)
    for t in range(3):
        Image.fromarray((truth(t) == 1).astype(np.uint8) * 255).save(tmp_path / "Annotations" / "a" / f"{t:05d}.png")
    for year in (2016, 2017):
        (sequence,) = find_sequences(tmp_path, year)
        assert sequence.objects() == [1]
        assert np.array_equal(sequence.labels(1), truth(1) == 1)


@pytest.mark.parametrize("init", ["mask", "click", "box"])
def test_the_command_tracks_and_scores(
    init: str, root: Path, tiny_settings: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "davis", "--root", str(root), "--year", "2017", "--sequences", "left", "--init", init, "--json"]
    assert run([*command, *tiny_settings]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= report["J&F-Mean"] <= 1
    assert [s["object"] for s in report["sequences"]["left"]] == [1, 2]
    assert report["frames_per_second"] > 0
    assert report["config"]["init"] == init


def test_unknown_choices_are_usage_errors(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "davis", "--root", str(root), "--init", "scribble"]) == 2
    assert "mask, click, box" in capsys.readouterr().err
    assert run(["eval", "davis", "--root", str(root), "--year", "2018"]) == 2

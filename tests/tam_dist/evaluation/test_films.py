"""Films are reproducible, their objects come back, and the scores are those of the masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tam_dist.cli import run
from tam_dist.errors import ConfigError
from tam_dist.evaluation.films import Film, make_films
from tam_dist.evaluation.returning import prompts_of, score_film, summary
from tests.tiny import moving_square


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sequences, three of them of 60 frames."""
    folder = tmp_path_factory.mktemp("davis")
    for n, length in enumerate((60, 60, 60, 20, 12)):
        frames = moving_square(length, seed=n)
        for kind in ("JPEGImages", "Annotations"):
            (folder / kind / f"s{n}").mkdir(parents=True)
        for t, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / "JPEGImages" / f"s{n}" / f"{t:05d}.jpg")
            mask = (frame == 220).all(2).astype(np.uint8)
            Image.fromarray(mask).save(folder / "Annotations" / f"s{n}" / f"{t:05d}.png")
    return folder


@pytest.fixture(scope="module")
def film(root: Path) -> Film:
    return make_films(root, 1)[0]


def test_each_object_is_in_three_shots_and_never_with_the_other(root: Path, film: Film) -> None:
    for number in (1, 2):
        inside = [shot for shot in film.shots if (film.labels[shot.start : shot.stop] == number).any()]
        assert len(inside) == 3
        assert all((film.labels[shot.start : shot.stop] == number).any((1, 2)).all() for shot in inside)
    assert len(film.shots) == 8
    assert sum(not film.labels[shot.start : shot.stop].any() for shot in film.shots) == 2
    again, other = make_films(root, 2)
    assert np.array_equal(again.frames, film.frames)
    assert not np.array_equal(other.labels, film.labels)


def test_prompts_are_spread_over_the_shots(film: Film) -> None:
    shots = [shot for shot in film.shots if (film.labels[shot.start] == 1).any()]
    assert film.spread(1, 1) == [shots[0].start]
    assert film.spread(1, 3) == sorted(set(film.spread(1, 3)) & set(film.visible(1)))
    assert len({shot for shot in shots for frame in film.spread(1, 3) if frame in shot}) > 1
    assert sorted(p.object_name for p in prompts_of(film, 3)) == ["1", "1", "1", "2", "2", "2"]


def test_scores_are_of_the_masks(film: Film) -> None:
    right = summary(score_film(film, film.labels, {1: 1, 2: 2}, 1))
    assert (right.j_and_f, right.known, right.returns, right.false) == (1, 4, 4, 0)
    swapped = summary(score_film(film, film.labels, {1: 2, 2: 1}, 1))
    assert (swapped.j_and_f, swapped.known) == (0, 0)
    assert swapped.false > 0.3
    lost = film.labels.copy()
    lost[film.shots[4].start :] = 0
    first, second = score_film(film, lost, {1: 1, 2: 2}, 1)
    assert (first.known, first.returns, second.known, second.returns) == (1, 2, 0, 2)
    assert (first.false, second.false) == (0, 0)


def test_too_few_sequences_are_named(root: Path, tmp_path: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind).mkdir()
        for name in ("s0", "s3", "s4"):
            (tmp_path / kind / name).symlink_to(root / kind / name)
    with pytest.raises(ConfigError, match="has 3 sequences, 1 of them with 60 frames or more"):
        make_films(tmp_path, 1)


@pytest.mark.slow
def test_the_command_tracks_and_scores(root: Path, tiny_settings: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["eval", "films", "--root", str(root), "--films", "1", "--segments", "shots", "--json", *tiny_settings])
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [(o["film"], o["object"], o["returns"]) for o in report["objects"]] == [("film0", 1, 2), ("film0", 2, 2)]
    assert 0 <= report["j_and_f"] <= 1

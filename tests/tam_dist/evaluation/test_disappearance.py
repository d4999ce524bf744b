"""The contract: what should be marked is known, the object is gone for as long as the plot says, the twin never is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.evaluation.disappearance import BEFORE, CROSSING, Plot, Sprite, cut_out, make_clip, read_sprites

GROUND = [np.full((72, 128, 3), 10 * i, np.uint8) for i in range(5)]
SPRITE = Sprite(np.full((20, 30, 3), 250, np.uint8), np.ones((20, 30), bool))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("absence", [10, 50])
def test_the_object_leaves_and_comes_back_and_the_twin_stays(absence: int, seed: int) -> None:
    clip = make_clip(GROUND, SPRITE, Plot(absence, twin=True), seed)
    seen = clip.object.any((1, 2))
    assert seen[: BEFORE - 2].all()
    assert seen[-1]
    gone = np.flatnonzero(clip.gone)
    assert absence <= len(gone) <= absence + 2 * CROSSING
    assert (np.diff(gone) == 1).all()
    assert clip.twin.any((1, 2)).all()
    assert not (clip.object & clip.twin).any()
    assert clip.frames[0][clip.object[0]].mean() > 200


def test_a_clip_follows_from_its_seed() -> None:
    one, same, other = (make_clip(GROUND, SPRITE, Plot(10, twin=False), seed) for seed in (3, 3, 4))
    assert np.array_equal(one.frames, same.frames)
    assert not np.array_equal(one.object, other.object)
    assert not one.twin.any()


def test_only_whole_objects_are_cut_out(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 20:40] = 2
    Image.fromarray(labels).save(tmp_path / "masks" / "a.png")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "images" / "a.jpg")
    assert read_sprites(tmp_path, 3, seed=0)[0].alpha.shape == (20, 20)
    labels[:, :] = 2
    Image.fromarray(labels).save(tmp_path / "masks" / "a.png")
    assert cut_out(tmp_path / "masks" / "a.png", tmp_path / "images" / "a.jpg") is None
    with pytest.raises(ConfigError, match="no whole object"):
        read_sprites(tmp_path, 3, seed=0)

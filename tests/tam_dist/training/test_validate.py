"""What checkpoints are chosen by: films with a cut, and sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import XMem
from tam_dist.training.films import FILM_CUT, FILM_LENGTH, look_alike_film, right_one
from tam_dist.training.layers import UNTRACKED, Clip
from tam_dist.training.packed import LabelledPicture, PackedPictures, PictureGroup, pack
from tam_dist.training.xmem_validate import HeldOut, follow, region_similarity, validate
from tests.tam_dist.training.pictures import disc_picture


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PackedPictures:
    groups = [PictureGroup(str(i), [LabelledPicture(disc_picture(i, 2, 240, 300), ("disc", "disc"))]) for i in range(4)]
    return pack(groups, tmp_path_factory.mktemp("films") / "discs", short_side=320)


def test_a_film_has_the_tracked_thing_and_another_throughout_and_is_always_the_same(discs: PackedPictures) -> None:
    film = look_alike_film(discs, discs, 3, size=64)
    assert film.frames.shape == (FILM_LENGTH, 64, 64, 3)
    assert all((labels == 1).any() for labels in film.instances)
    assert (film.instances[0] > UNTRACKED + 30).any()
    again = look_alike_film(discs, discs, 3, size=64)
    assert np.array_equal(film.frames, again.frames)
    jump = np.abs(np.diff(film.frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert jump.argmax() == FILM_CUT - 1


def test_the_right_one_is_who_was_tracked_before() -> None:
    instances = np.zeros((FILM_LENGTH, 8, 8), np.uint8)
    instances[:, :4, :4], instances[:, 4:, 4:] = 1, UNTRACKED + 31
    clip = Clip(np.zeros((FILM_LENGTH, 8, 8, 3), np.uint8), instances)
    assert right_one(list(instances == 1), clip)
    assert not right_one(list(instances == UNTRACKED + 31), clip)
    assert not right_one(list(np.zeros_like(instances, bool)), clip)
    assert not right_one(list(np.ones_like(instances, bool)), clip)  # everybody is nobody
    late = instances == 1
    late[:FILM_CUT] = False
    assert right_one(list(late), clip)


def test_following_starts_from_the_first_masks_and_covers_every_frame() -> None:
    torch.manual_seed(0)
    network = XMem(SMALL)
    pictures = [disc_picture(0, 2, shift=t) for t in range(4)]
    maps = follow(network, pictures, [2, 1], short_side=64)
    assert len(maps) == 4
    assert network.training
    swapped = np.array([0, 2, 1], np.uint8)
    assert np.array_equal(maps[0], swapped[pictures[0].labels])
    assert all(m.shape == pictures[0].labels.shape and m.max() <= 2 for m in maps)
    assert 0 <= region_similarity(network, pictures, short_side=64) <= 1


def test_validation_scores_sequences_and_films(discs: PackedPictures) -> None:
    torch.manual_seed(0)
    sequence = [disc_picture(0, shift=t) for t in range(3)]
    scores = validate(XMem(SMALL).eval(), HeldOut({"moving": sequence}, [(discs, 1)], discs))
    assert set(scores) == {"moving", "film_J", "film_right"}
    assert all(0 <= score <= 1 for score in scores.values())

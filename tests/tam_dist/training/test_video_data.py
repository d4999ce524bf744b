"""Batches: reproducible, without what is held out, hard clips shown again."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tam_dist.training.clips import ClipSettings
from tam_dist.training.hard_clips import HardClips
from tam_dist.training.packed import TrainingDataError
from tam_dist.training.video_data import ClipSource, ClipStream, Library, Stage, draw_frames, split_objects
from tests.tam_dist.training.pictures import write_cache

STAGE = Stage(start=0.0, size=32, length=3, batch=4, video_share=0.4, crowd_share=0.3, max_skip=3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def library(cache: Path, *held_out: str) -> Library:
    return Library(cache, {"stills": 1.0}, {"davis": 1.0}, held_out)


def test_batches_are_reproducible_and_leave_out_held_out_sequences(cache: Path) -> None:
    source = ClipSource(library(cache, "a"), [STAGE], ClipSettings(), seed=3)
    assert source.library.sequences == [["b"]]
    first, second = source.batch(7, 0.2), source.batch(7, 0.2)
    assert torch.equal(first.frames, second.frames)
    assert first.frames.shape[1:] == (3, 3, 32, 32)
    assert first.labels.shape == first.instances.shape
    assert first.labels.shape[1:] == (3, 32, 32)
    assert 1 <= first.objects <= 3
    assert int(first.labels[first.labels < 255].max()) <= first.objects
    assert not torch.equal(first.frames[0], source.batch(8, 0.2).frames[0])
    with pytest.raises(TrainingDataError, match="held-out sequence c"):
        library(cache, "c")


def test_a_worker_gives_the_batches_of_its_source(cache: Path) -> None:
    source = ClipSource(library(cache), [STAGE], ClipSettings())
    stream = ClipStream(source, first=5, workers=1, prefetch=2)
    assert torch.equal(next(stream).frames, source.batch(5, 0.0).frames)
    assert torch.equal(next(stream).instances, source.batch(6, 0.0).instances)


def test_a_cast_is_of_one_kind_or_of_copies(cache: Path) -> None:
    books = library(cache)
    for seed in range(10):
        cast = books.cast(np.random.default_rng(seed), 3, ClipSettings())
        assert len(cast) == 3
        assert all(actor.picture.labels.max() == 1 for actor in cast)


def test_hard_clips_are_shown_again_as_they_were(cache: Path) -> None:
    source = ClipSource(library(cache), [STAGE], ClipSettings(), object_shares=[1.0], hard_share=1.0)
    first = source.batch(0, 0.0)
    source.hard.note(1, first.recipes, [0.1, 3.0, 0.2, 0.3])
    again = source.batch(1, 0.0)
    assert set(again.recipes) == set(first.recipes)
    place = again.recipes.index(first.recipes[1])
    assert torch.equal(again.frames[place], first.frames[1])


def test_hard_clips_keep_the_worst_and_lose_patience() -> None:
    hard = HardClips(2, capacity=2, patience=2)
    hard.note(2, [10, 11, 12], [0.5, 2.0, 1.0])
    assert hard.recipes(2) == [11, 12]
    assert hard.recipes(1) == []
    hard.note(2, [13, 14], [3.0, float("nan")])
    assert hard.recipes(2) == [13, 11]
    hard.note(2, [13], [3.0])
    assert hard.recipes(2) == [13, 11]
    hard.note(2, [13], [3.0])  # shown twice more and still bad: given up
    assert hard.recipes(2) == [11]


def test_packed_libraries_travel_by_name(cache: Path) -> None:
    books = library(cache)
    there = pickle.loads(pickle.dumps(books))
    assert np.array_equal(there.stills[0][1].image, books.stills[0][1].image)


def test_drawn_frames_stay_inside_and_within_the_skip() -> None:
    for seed in range(50):
        numbers = draw_frames(np.random.default_rng(seed), 20, 4, 5)
        assert numbers.min() >= 0
        assert numbers.max() < 20
        assert np.all(np.abs(np.diff(numbers)) <= 5)
        assert len({int(np.sign(d)) for d in np.diff(numbers)}) == 1


def test_split_objects_ignores_unknown_pixels() -> None:
    masks = split_objects(torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8), 2)
    assert masks.tolist() == [[[[0, 1], [0, 0]], [[0, 0], [1, 0]]]]


def test_a_stage_holds_until_the_next() -> None:
    later = replace(STAGE, start=0.5, size=64)
    from tam_dist.training.video_data import stage_at

    assert stage_at([STAGE, later], 0.4).size == 32
    assert stage_at([STAGE, later], 0.6).size == 64

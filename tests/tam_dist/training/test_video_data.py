"""Packing and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tam_dist.training.clips import ClipSettings
from tam_dist.training.video_data import (
    ClipSource,
    ClipStream,
    PackedPictures,
    Stage,
    TrainingDataError,
    draw_frames,
    pack_sequences,
    pack_stills,
    split_objects,
)

STAGE = Stage(start=0.0, size=32, length=3, batch=4, video_share=0.5, max_skip=3)


def write_data(root: Path) -> tuple[PackedPictures, PackedPictures]:
    """Six stills and two sequences of five frames, a disc on each, packed."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64]

    def save(image: Path, mask: Path, centre: float) -> None:
        image.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(parents=True, exist_ok=True)
        disc = (x - centre) ** 2 + (y - 24) ** 2 < 100
        pixels = rng.integers(0, 80, (48, 64, 3)).astype(np.uint8)
        pixels[disc] += 150
        Image.fromarray(pixels).save(image)
        Image.fromarray(disc.astype(np.uint8)).save(mask)

    for i in range(6):
        save(root / "stills" / "images" / f"{i}.jpg", root / "stills" / "masks" / f"{i}.png", 20 + 4 * i)
    for name in ("a", "b"):
        for t in range(5):
            folder = root / "davis"
            save(folder / "JPEGImages" / name / f"{t:05d}.jpg", folder / "Annotations" / name / f"{t:05d}.png", 20 + 4 * t)
    stills = pack_stills(root / "stills" / "images", root / "stills" / "masks", root / "packed" / "stills")
    return stills, pack_sequences(root / "davis", root / "packed" / "davis")


def test_packed_pictures_are_what_was_packed(tmp_path: Path) -> None:
    stills, videos = write_data(tmp_path)
    assert (len(stills), len(videos)) == (6, 10)
    assert list(videos.group("b")) == [5, 6, 7, 8, 9]
    with Image.open(tmp_path / "davis" / "Annotations" / "b" / "00002.png") as file:
        assert np.array_equal(videos[7].labels, np.asarray(file))
    with Image.open(tmp_path / "davis" / "JPEGImages" / "b" / "00002.jpg") as file:
        assert np.array_equal(videos[7].image, np.asarray(file.convert("RGB")))


def test_batches_are_reproducible_and_leave_out_held_out_sequences(tmp_path: Path) -> None:
    stills, videos = write_data(tmp_path)
    source = ClipSource(stills, videos, [STAGE], ClipSettings(), held_out=["a"], seed=3)
    assert source.sequences == ["b"]
    first, second = source.batch(7, 0.2), source.batch(7, 0.2)
    assert torch.equal(first.frames, second.frames)
    assert first.frames.shape[1:] == (3, 3, 32, 32)
    assert first.labels.shape[1:] == (3, 32, 32)
    assert 1 <= first.objects <= 3
    assert not torch.equal(first.frames[0], source.batch(8, 0.2).frames[0])
    with pytest.raises(TrainingDataError, match="held-out sequence c"):
        ClipSource(stills, videos, [STAGE], ClipSettings(), held_out=["c"])


def test_a_worker_gives_the_batches_of_its_source(tmp_path: Path) -> None:
    stills, videos = write_data(tmp_path)
    source = ClipSource(stills, videos, [STAGE], ClipSettings())
    stream = ClipStream(source, first=5, workers=1, prefetch=2)
    assert torch.equal(next(stream).frames, source.batch(5, 0.0).frames)
    assert torch.equal(next(stream).labels, source.batch(6, 0.0).labels)


def test_drawn_frames_stay_inside_and_within_the_skip() -> None:
    for seed in range(50):
        numbers = draw_frames(np.random.default_rng(seed), 20, 4, 5)
        assert numbers.min() >= 0
        assert numbers.max() < 20
        assert np.all(np.abs(np.diff(numbers)) <= 5)
        assert len({int(np.sign(d)) for d in np.diff(numbers)}) == 1
    with pytest.raises(TrainingDataError, match="needs 4 frames"):
        draw_frames(np.random.default_rng(0), 3, 4, 1)


def test_split_objects_ignores_unknown_pixels() -> None:
    masks = split_objects(torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8), 2)
    assert masks.tolist() == [[[[0, 1], [0, 0]], [[0, 0], [1, 0]]]]


def test_nothing_to_pack_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="nothing to pack"):
        pack_stills(tmp_path, tmp_path, tmp_path / "out")

"""Synthetic clips: labels follow pixels, exact object counts, reproducibility."""

from __future__ import annotations

import numpy as np
import pytest

from tam_dist.training.clips import IGNORE, Clip, ClipSettings, Picture, still_clip, video_clip

PLAIN = ClipSettings(composite=0.0, intruder=0.0, copy=0.0, blur=0.0, grey=0.0)


def picture(seed: int, objects: int = 1, height: int = 96, width: int = 120) -> Picture:
    """Bright discs, one an object, on a dark ground."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (height, width, 3)).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    for k in range(1, objects + 1):
        disc = (x - width * k / (objects + 1)) ** 2 + (y - height / 2) ** 2 < (height / 6) ** 2
        labels[disc] = k
        image[disc] = rng.integers(180, 256, 3)
    return Picture(image, labels)


DONORS = [picture(100), picture(101)]


def make(seed: int, objects: int = 1, settings: ClipSettings = PLAIN) -> Clip:
    rng = np.random.default_rng(seed)
    return still_clip(rng, picture(seed, 2), DONORS, size=64, length=3, objects=objects, settings=settings)


@pytest.mark.parametrize("objects", [1, 2, 3])
def test_still_clip_has_exactly_the_asked_objects_in_frame_0(objects: int) -> None:
    for seed in range(20):
        clip = make(seed, objects, ClipSettings())
        assert clip.frames.shape == (3, 64, 64, 3)
        assert clip.frames.dtype == clip.labels.dtype == np.uint8
        assert set(np.unique(clip.labels[0])) - {0, IGNORE} == set(range(1, objects + 1))
        assert set(np.unique(clip.labels)) - {0, IGNORE} <= set(range(1, objects + 1))


def test_labels_follow_the_pixels_through_every_motion() -> None:
    for seed in range(10):
        clip = make(seed, 2)
        bright = clip.frames.astype(int).mean(axis=-1) > 105
        union = ((clip.labels > 0) | bright).sum()
        assert ((clip.labels > 0) & bright).sum() / union > 0.85


def test_frames_differ_and_the_object_moves() -> None:
    clip = make(3)
    assert (clip.labels[0] != clip.labels[2]).mean() > 0.01


def test_the_same_seed_gives_the_same_clip() -> None:
    first, second = make(5, 3, ClipSettings()), make(5, 3, ClipSettings())
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.labels, second.labels)


def test_unknown_outlines_stay_unknown() -> None:
    target = picture(1)
    labels = target.labels.copy()
    labels[:, :8] = IGNORE
    labels[40:, 8:30] = IGNORE
    settings = ClipSettings(composite=0, intruder=0, min_window=1.0)
    clip = still_clip(
        np.random.default_rng(0), Picture(target.image, labels), DONORS, size=64, length=2, objects=1, settings=settings
    )
    assert (clip.labels == IGNORE).any()


def test_video_clip_keeps_the_object_and_adds_pasted_ones() -> None:
    frames = [picture(seed) for seed in range(4)]
    for seed in range(10):
        clip = video_clip(np.random.default_rng(seed), frames, DONORS, size=64, objects=2, settings=ClipSettings())
        assert clip.frames.shape == (4, 64, 64, 3)
        assert {1, 2} <= set(np.unique(clip.labels[0]))


def test_a_picture_without_objects_still_gives_a_clip() -> None:
    empty = Picture(picture(0).image, np.zeros((96, 120), np.uint8))
    clip = still_clip(np.random.default_rng(0), empty, [empty], size=64, length=3, objects=2, settings=ClipSettings())
    assert {1, 2} <= set(np.unique(clip.labels[0]))

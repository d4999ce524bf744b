"""Synthetic clips: labels follow pixels, exact object counts, cuts, look-alikes, reproducibility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tam_dist.training.clips import ClipSettings, shots, still_clip, video_clip
from tam_dist.training.crowds import crowd_clip, cut_out, look_alike
from tam_dist.training.layers import IGNORE, UNTRACKED, Clip, Looks, Picture
from tests.tam_dist.training.pictures import disc_picture

PLAIN = ClipSettings(
    composite=0.0, intruder=0.0, copy=0.0, cut=0.0, jolt=0.0, gone=0.0, small=0.0, faded=0.0, looks=Looks(blur=0.0, grey=0.0)
)
DONORS = [disc_picture(100), disc_picture(101)]


def make(seed: int, objects: int = 1, settings: ClipSettings = PLAIN) -> Clip:
    rng = np.random.default_rng(seed)
    return still_clip(rng, disc_picture(seed, 2), DONORS, size=64, length=3, objects=objects, settings=settings)


def make_crowd(seed: int, objects: int, settings: ClipSettings) -> Clip:
    rng = np.random.default_rng(seed)
    actor = cut_out(disc_picture(seed), 1)
    assert actor is not None
    cast = [actor, look_alike(rng, actor), look_alike(rng, actor)]
    return crowd_clip(rng, cast, DONORS, size=64, length=4, objects=objects, settings=settings)


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
    for clip in (make, make_crowd):
        first, second = clip(5, 2, ClipSettings()), clip(5, 2, ClipSettings())
        assert np.array_equal(first.frames, second.frames)
        assert np.array_equal(first.instances, second.instances)


def test_objects_that_nobody_asked_for_are_background_to_the_masks_alone() -> None:
    clip = make(1, 1, replace(PLAIN, min_window=1.0))
    assert (clip.instances >= UNTRACKED).any()
    assert set(np.unique(clip.labels)) == {0, 1}


def test_unknown_outlines_stay_unknown() -> None:
    target = disc_picture(1)
    labels = target.labels.copy()
    labels[:, :8] = IGNORE
    labels[40:, 8:30] = IGNORE
    settings = replace(PLAIN, min_window=1.0)
    clip = still_clip(
        np.random.default_rng(0), Picture(target.image, labels), DONORS, size=64, length=2, objects=1, settings=settings
    )
    assert (clip.labels == IGNORE).any()


def test_video_clip_keeps_the_object_and_adds_pasted_ones() -> None:
    frames = [disc_picture(seed) for seed in range(4)]
    for seed in range(10):
        clip = video_clip(np.random.default_rng(seed), frames, DONORS, size=64, objects=2, settings=ClipSettings())
        assert clip.frames.shape == (4, 64, 64, 3)
        assert {1, 2} <= set(np.unique(clip.labels[0]))


def test_an_object_that_leaves_the_sequence_is_copied_from_where_it_was() -> None:
    empty = Picture(disc_picture(0).image, np.zeros((96, 120), np.uint8))
    frames = [disc_picture(0), empty, empty, empty]
    settings = replace(PLAIN, copy=1.0)
    for seed in range(8):
        clip = video_clip(np.random.default_rng(seed), frames, DONORS, size=64, objects=1, settings=settings)
        assert (clip.instances[0] == 1).any()


def test_a_cut_elsewhere_shows_nothing_tracked() -> None:
    frames, other = [disc_picture(0, shift=t) for t in range(4)], [disc_picture(9, shift=t) for t in range(4)]
    settings = replace(PLAIN, cut=1.0, elsewhere=1.0)
    for seed in range(10):
        clip = video_clip(np.random.default_rng(seed), frames, DONORS, size=64, objects=1, settings=settings, elsewhere=other)
        shown = [bool((labels == 1).any()) for labels in clip.instances]
        assert shown[0]
        assert not all(shown)
        away = shown.index(False)
        assert (clip.instances[away] >= UNTRACKED).any()


def test_shots_cover_the_clip_and_start_with_the_object() -> None:
    settings = ClipSettings(cut=0.8)
    seen = set()
    for seed in range(60):
        plan = shots(np.random.default_rng(seed), 4, settings)
        assert [shot.start for shot in plan[1:]] == [shot.stop for shot in plan[:-1]]
        assert (plan[0].start, plan[-1].stop, plan[0].elsewhere) == (0, 4, False)
        assert all(shot.stop > shot.start for shot in plan)
        seen.add(tuple(shot.elsewhere for shot in plan))
    assert {(False,), (False, False), (False, True)} <= seen


@pytest.mark.parametrize("objects", [1, 2])
def test_a_crowd_has_look_alikes_beside_the_tracked(objects: int) -> None:
    for seed in range(10):
        clip = make_crowd(seed, objects, ClipSettings())
        assert clip.frames.shape == (4, 64, 64, 3)
        assert set(range(1, objects + 1)) <= set(np.unique(clip.instances[0]))
        assert set(np.unique(clip.labels)) - {0, IGNORE} <= set(range(1, objects + 1))
        assert (clip.instances >= UNTRACKED).any()


def test_who_is_gone_comes_back_to_its_label() -> None:
    settings = replace(PLAIN, gone=1.0)
    clips = [make_crowd(seed, 1, settings) for seed in range(20)]
    gone = [[bool((labels == 1).any()) for labels in clip.instances] for clip in clips]
    assert all(shown[0] for shown in gone)
    assert any(not all(shown) and shown[-1] for shown in gone)


def test_a_look_alike_has_the_shape_but_not_the_colours() -> None:
    rng = np.random.default_rng(0)
    actor = cut_out(disc_picture(3), 1)
    assert actor is not None
    twin = look_alike(rng, actor)
    assert twin.picture.labels.sum() == actor.picture.labels.sum()
    inside, of_twin = actor.picture.image[actor.picture.labels == 1], twin.picture.image[twin.picture.labels == 1]
    assert np.abs(inside.mean(axis=0) - of_twin.mean(axis=0)).max() > 20


def test_tiny_things_are_not_cut_out() -> None:
    assert cut_out(disc_picture(0), 1, smallest=200) is None
    assert cut_out(disc_picture(0), 7) is None


def test_a_picture_without_objects_still_gives_a_clip() -> None:
    empty = Picture(disc_picture(0).image, np.zeros((96, 120), np.uint8))
    clip = still_clip(np.random.default_rng(0), empty, [empty], size=64, length=3, objects=2, settings=ClipSettings())
    assert {1, 2} <= set(np.unique(clip.labels[0]))

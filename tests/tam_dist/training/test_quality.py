"""The contract: start errors are errors, the fitted model ranks masks it never saw, and observing leaves tracking alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tam_dist.config import load_config
from tam_dist.evaluation.ranking import auroc, spearman
from tam_dist.models.checkpoints import resolve
from tam_dist.models.xmem.weights import load_network
from tam_dist.tracking.quality.signals import SIGNALS
from tam_dist.tracking.refinement.acceptance import Answer
from tam_dist.tracking.session import Models
from tam_dist.training.layers import Picture
from tam_dist.training.packed import LabelledPicture, PictureGroup, pack
from tam_dist.training.quality import cross_validate, fit_masks
from tam_dist.training.quality_data import (
    START_ERRORS,
    AnswerExample,
    Examples,
    MaskExample,
    Video,
    crowd_videos,
    labelled_videos,
    misdrawn,
    observe,
)
from tests.tam_dist.training.pictures import disc_picture
from tests.tiny import HEIGHT, WIDTH, moving_square, square


@pytest.mark.parametrize("error", START_ERRORS)
def test_a_misdrawn_mask_is_wrong_but_never_empty(error: str) -> None:
    rng = np.random.default_rng(0)
    for mask in (square(20, 16), square(0, 0, 2)):
        drawn = misdrawn(mask, error, rng)
        assert drawn.dtype == bool
        assert drawn.any()
    assert (error == "none") == np.array_equal(misdrawn(square(20, 16), error, rng), square(20, 16))


def examples(videos: int = 10, frames: int = 40) -> list[MaskExample]:
    """Masks whose IoU follows from two of their signals, with noise."""
    rng = np.random.default_rng(0)
    found = []
    for video in range(videos):
        for _ in range(frames):
            signals = rng.normal(size=len(SIGNALS)).astype(np.float32)
            iou = float(1 / (1 + np.exp(-(2 * signals[0] - signals[7] + 0.3 * rng.normal()))))
            found.append(MaskExample(f"v{video}", signals, iou, bool(signals[1] < -1)))
    return found


def test_the_model_ranks_masks_of_videos_it_never_saw() -> None:
    data = examples()
    iou = np.array([e.iou for e in data], np.float32)
    found = cross_validate(data)
    assert auroc(found, iou < 0.5) > 0.9
    assert spearman(found, iou) > 0.9
    model = fit_masks(data, "digest")
    scores = model(np.stack([e.signals for e in data]))
    assert auroc(-scores.absent, np.array([e.absent for e in data])) > 0.85


def test_kept_examples_are_what_was_kept() -> None:
    answers = [AnswerExample("v", Answer(0.9, 0.1 + 0.2, 1 / 3, 0.5, 2.5, 0.0, 1e-17), 0.25, 0.75)]
    kept = Examples(examples(2, 3), answers)
    read = Examples.from_json(kept.to_json())
    assert [vars(a) for a in read.answers] == [vars(a) for a in kept.answers]
    for one, other in zip(read.masks, kept.masks, strict=True):
        assert one.signals.dtype == np.float32
        assert (one.signals.tobytes(), one.video, one.iou, one.absent) == (
            other.signals.tobytes(),
            other.video,
            other.iou,
            other.absent,
        )


def test_every_predicted_frame_of_a_video_is_an_example() -> None:
    frames = moving_square(12)
    truth = np.stack([square((4 + 2 * t) % (WIDTH - 16), 10) for t in range(12)])
    video = Video("v", frames, truth, truth[0])
    assert truth.shape == (12, HEIGHT, WIDTH)
    models = Models(load_network(resolve("embedded", "xmem")))
    found = observe(video, models, load_config().propagation, None)
    assert len(found.masks) == 11
    assert not found.answers
    assert np.mean([e.iou for e in found.masks]) > 0.5


def test_of_a_sequence_the_objects_of_its_first_frame_are_tracked(tmp_path: Path) -> None:
    labels = np.zeros((5, 240, 320), np.uint8)
    labels[:, 20:80, 20:80], labels[:4, 120:200, 200:300], labels[2:, 150:200, 20:60], labels[:, :10] = 7, 3, 9, 255
    frames = [LabelledPicture(Picture(np.zeros((240, 320, 3), np.uint8), each), ()) for each in labels]
    packed = pack(iter([PictureGroup("cars", frames), PictureGroup("short", frames[:3])]), tmp_path / "p", short_side=320)
    (video,) = labelled_videos(packed)
    assert video.objects == [1, 2]
    assert [set(np.unique(truth)) for truth in video.truth] == [{0, 1, 2}] * 4 + [{0, 2}]
    assert np.array_equal(video.truth == 2, labels == 7)


def test_every_object_of_a_crowd_is_an_example_by_its_own_truth(tmp_path: Path) -> None:
    discs = [PictureGroup(f"{n}.jpg", [LabelledPicture(disc_picture(n, height=240, width=240), ("disc",))]) for n in range(6)]
    packed = pack(iter(discs), tmp_path / "discs", short_side=320)
    (video,) = crowd_videos([packed], packed, 1, seed=2)
    assert len(video.objects) > 1
    models = Models(load_network(resolve("embedded", "xmem")))
    short = replace(video, frames=video.frames[:4], truth=video.truth[:4])
    found = observe(short, models, load_config().propagation, None)
    assert len(found.masks) == 3 * len(video.objects)
    swapped = replace(short, truth=np.where(short.truth == 1, 2, np.where(short.truth == 2, 1, short.truth)))
    wrong = observe(swapped, models, load_config().propagation, None)
    assert wrong.masks[0].iou < found.masks[0].iou
    (again,) = crowd_videos([packed], packed, 1, seed=2)
    assert np.array_equal(again.frames, video.frames)

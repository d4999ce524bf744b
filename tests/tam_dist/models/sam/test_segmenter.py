"""The segmenter against segment-anything's own predictor, and independent of its cache and of company."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tam_dist.config import SegmentationConfig
from tam_dist.evaluation.clicks import click_rounds
from tam_dist.models.checkpoints import EMBEDDED
from tam_dist.models.precision import Precision
from tam_dist.models.sam._torchvision_standin import torchvision_standin
from tam_dist.models.sam.build import Sam
from tam_dist.models.sam.segmenter import Segmenter
from tam_dist.models.sam.weights import load_sam
from tam_dist.types import ObjectQuery, SegmentedMask, UInt8Array

with torchvision_standin():
    from segment_anything import SamPredictor

NO_POINTS, NO_LABELS = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)


def clicks(*points: tuple[float, float, int], mask: np.ndarray | None = None, object_id: int = 1) -> ObjectQuery:
    array = np.array(points, np.float32)
    return ObjectQuery(object_id, array[:, :2], array[:, 2].astype(np.int64), mask_logits=mask)


def same(a: SegmentedMask, b: SegmentedMask) -> bool:
    assert a.logits is not None
    assert b.logits is not None
    return a.score == b.score and np.array_equal(a.mask, b.mask) and np.array_equal(a.logits, b.logits)


@pytest.mark.parametrize("prompt", ["click", "clicks", "box", "mask"])
def test_equals_the_official_predictor(prompt: str, tiny_official_sam: Sam, frame: UInt8Array) -> None:
    segmenter = Segmenter(tiny_official_sam, SegmentationConfig(embedding_cache=2))
    points, labels = np.array([[20.0, 10.0], [60.0, 30.0]], np.float32), np.array([1, 0], np.int64)
    box, mask = np.array([5.0, 6.0, 50.0, 40.0], np.float32), np.random.default_rng(1).normal(size=(16, 16)).astype(np.float32)
    query, kwargs = {
        "click": (ObjectQuery(1, points[:1], labels[:1]), {"point_coords": points[:1], "point_labels": labels[:1]}),
        "clicks": (ObjectQuery(1, points, labels), {"point_coords": points, "point_labels": labels}),
        "box": (ObjectQuery(1, NO_POINTS, NO_LABELS, box), {"box": box}),
        "mask": (ObjectQuery(1, NO_POINTS, NO_LABELS, None, mask), {"mask_input": mask[None]}),
    }[prompt]
    predictor = SamPredictor(tiny_official_sam)
    predictor.set_image(frame)
    masks, scores, logits = predictor.predict(**kwargs, multimask_output=prompt == "click")
    best = int(scores.argmax())
    answer = segmenter.segment(frame, [query])[0]
    assert answer.logits is not None
    np.testing.assert_allclose(answer.logits, logits[best], rtol=1e-4, atol=1e-5)
    assert answer.score == pytest.approx(float(np.clip(scores[best], 0, 1)), abs=1e-6)
    assert (answer.mask != masks[best]).mean() < 0.001
    assert answer.mask.shape == frame.shape[:2]


def test_answers_do_not_depend_on_cache_or_company(tiny_sam: Sam, frame: UInt8Array) -> None:
    first, second = clicks((20, 10, 1), object_id=1), clicks((60, 30, 1), (5, 5, 0), object_id=2)
    fresh = Segmenter(tiny_sam, SegmentationConfig(embedding_cache=2))
    alone = [fresh.segment(frame, [query])[0] for query in (first, second)]
    warm = Segmenter(tiny_sam, SegmentationConfig(embedding_cache=2))
    for key in range(4):
        warm.segment(np.roll(frame, key + 1, axis=0), [second], frame_key=key)
    for _ in range(2):
        together = warm.segment(frame, [second, first], frame_key="frame")
        assert [mask.object_id for mask in together] == [2, 1]
        assert same(together[1], alone[0])
        assert same(together[0], alone[1])


def test_a_frame_is_embedded_once_and_the_cache_is_bounded(
    segmenter: Segmenter, tiny_sam: Sam, frame: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[int] = []
    encoder = type(tiny_sam.image_encoder)
    original = encoder.forward

    def counting(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        embedded.append(1)
        return original(self, x)

    monkeypatch.setattr(encoder, "forward", counting)
    query = clicks((20, 10, 1))
    for key in ("a", "b", "a", "c", "a", "b"):  # capacity 2: "c" pushes "b" out, the least recently used
        segmenter.segment(frame, [query], frame_key=key)
    assert len(embedded) == 4
    assert len(segmenter._embeddings) == 2
    segmenter.segment(frame, [query])
    segmenter.segment(frame, [query])
    assert len(embedded) == 6


def test_rounds_take_the_last_logits(segmenter: Segmenter, frame: UInt8Array) -> None:
    first = segmenter.segment(frame, [clicks((20, 10, 1))], frame_key=0)[0]
    again = segmenter.segment(frame, [clicks((20, 10, 1), (60, 30, 0), mask=first.logits)], frame_key=0)[0]
    assert again.logits is not None
    assert first.logits is not None
    assert first.logits.shape == again.logits.shape == (segmenter.mask_side, segmenter.mask_side)
    assert not np.array_equal(first.logits, again.logits)


def test_precision_concerns_the_encoder_alone(tiny_sam: Sam, frame: UInt8Array) -> None:
    exact = Segmenter(tiny_sam, SegmentationConfig(embedding_cache=2))
    rough = Segmenter(tiny_sam, SegmentationConfig(embedding_cache=2), precision=Precision.BF16)
    a, b = (segmenter.segment(frame, [clicks((20, 10, 1))])[0] for segmenter in (exact, rough))
    assert a.logits is not None
    assert b.logits is not None
    assert b.logits.dtype == np.float32
    assert not np.array_equal(a.logits, b.logits)
    assert np.abs(a.logits - b.logits).mean() < 0.1 * np.abs(a.logits).mean()


def test_read_only_frames_are_accepted(segmenter: Segmenter, frame: UInt8Array) -> None:
    locked = frame.copy()
    locked.flags.writeable = False  # as frames from shared memory are
    assert segmenter.segment(locked, [clicks((20, 10, 1))])[0].mask.dtype == bool


def test_the_small_sam_answers_one_click_with_its_single_mask(tiny_sam: Sam, segmenter: Segmenter, frame: UInt8Array) -> None:
    calls: list[bool] = []
    handle = tiny_sam.mask_decoder.register_forward_pre_hook(
        lambda _, __, given: calls.append(given["multimask_output"]), with_kwargs=True
    )
    segmenter.segment(frame, [clicks((20, 10, 1))])
    handle.remove()
    assert calls == [False]


def test_the_embedded_model_follows_clicks() -> None:
    """Two discs: after a click and a correction only the one clicked on is left."""
    segmenter = Segmenter(load_sam(EMBEDDED["sam"]), SegmentationConfig(embedding_cache=1))
    ys, xs = np.indices((120, 200))
    discs = [(ys - 60) ** 2 + (xs - x) ** 2 < 30**2 for x in (55, 145)]
    picture = np.full((120, 200, 3), (60, 110, 60), np.uint8)
    picture[discs[0]], picture[discs[1]] = (200, 60, 50), (230, 210, 60)
    for meant, other in (discs, discs[::-1]):
        *_, last = click_rounds(segmenter, picture, meant, None, 2, "picture")
        assert last.iou > 0.8
        assert (last.answer.mask & other).sum() < 0.05 * other.sum()

"""The differentiable propagation loop and its losses."""

from __future__ import annotations

import pytest
import torch

from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import KeyFeatures, XMem, aggregate
from tam_dist.training.layers import IGNORE
from tam_dist.training.xmem_clip import (
    bootstrapped_cross_entropy,
    clip_iou,
    clip_loss,
    dice_loss,
    match,
    predict_clip,
    read,
)


def features(key: torch.Tensor, selection: torch.Tensor) -> KeyFeatures:
    empty = torch.zeros(0)
    return KeyFeatures(empty, empty, empty, key, torch.ones(key.shape[0], 1, *key.shape[2:]), selection)


def test_match_is_the_papers_similarity_under_a_softmax() -> None:
    torch.manual_seed(0)
    query, selection = torch.randn(2, 8, 2, 3), torch.rand(2, 8, 2, 3)
    keys, shrinkage = torch.randn(2, 8, 5), 1 + torch.rand(2, 5)
    difference = keys.unsqueeze(3) - query.flatten(2).unsqueeze(2)
    similarity = -(selection.flatten(2).unsqueeze(2) * difference**2).sum(1) * shrinkage.unsqueeze(2) / 8**0.5
    affinity = match(features(query, selection), keys, shrinkage)
    assert torch.allclose(affinity, similarity.softmax(1), atol=1e-5)


def test_top_k_keeps_only_the_best() -> None:
    torch.manual_seed(0)
    query, selection = torch.randn(1, 8, 2, 2), torch.rand(1, 8, 2, 2)
    keys, shrinkage = torch.randn(1, 8, 10), torch.ones(1, 10)
    whole, some = (match(features(query, selection), keys, shrinkage, k) for k in (0, 3))
    assert ((some > 0).sum(1) == 3).all()
    assert torch.allclose(some.sum(1), torch.ones(1, 4))
    assert torch.equal(whole.argmax(1), some.argmax(1))


def test_read_picks_the_matched_value_of_each_object() -> None:
    values = torch.arange(2 * 3 * 4.0).view(1, 2, 3, 4)
    affinity = torch.zeros(1, 4, 6)
    affinity[0, 2] = 1
    readout = read(affinity, values, 2)
    assert readout.shape == (1, 2, 3, 2, 3)
    assert torch.equal(readout[0, :, :, 1, 1], values[0, :, :, 2])


def test_every_trained_part_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = XMem(SMALL).train()
    labels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    labels[:, :, 8:40, 8:30], labels[:, :, 30:60, 36:60] = 1, 2
    first = torch.stack([labels[:, 0] == 1, labels[:, 0] == 2], 1).float()
    prediction = predict_clip(network, torch.randn(1, 3, 3, 64, 64), first, [True, True, False])
    assert prediction.logits.shape == prediction.probabilities.shape == (1, 2, 3, 64, 64)
    assert torch.allclose(prediction.probabilities.sum(2), torch.ones(1, 2, 64, 64), atol=1e-5)
    assert 0 < prediction.top1 <= 1
    clip_loss(prediction, labels[:, 1:]).backward()
    # the decoder updates the hidden state only on frames that do not enter memory
    unused = {name for name, p in network.named_parameters() if p.grad is None}
    assert unused == {name for name, _ in network.named_parameters() if name.startswith("decoder.hidden_update.")}
    predict_clip(network, torch.randn(1, 3, 3, 64, 64), first, [True, False, False]).logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_latest_mask_is_in_the_hidden_state_unless_a_clip_is_forgetful() -> None:
    torch.manual_seed(0)
    network = XMem(SMALL).eval()
    frames, first = torch.randn(2, 2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    first[:, :, :32] = 1
    with torch.no_grad():
        _, hidden = network.encode_value(
            frames[:, 0], network.encode_key(frames[:, 0]), torch.zeros(2, 1, SMALL.hidden_dim, 4, 4), first
        )
        assert torch.equal(hidden[:, 0, -1, :, 0], torch.tensor([[1.0, 1.0, -1.0, -1.0]] * 2))
        kept = predict_clip(network, frames, first, [True, False])
        mixed = predict_clip(network, frames, first, [True, False], forgetful=torch.tensor([True, False]))
    assert not torch.allclose(kept.logits[0], mixed.logits[0])
    assert torch.allclose(kept.logits[1], mixed.logits[1], atol=1e-4)


def perfect(labels: torch.Tensor, objects: int) -> torch.Tensor:
    truth = torch.stack([labels == k for k in range(1, objects + 1)], 2).float()
    return aggregate(truth.clamp(1e-4, 1 - 1e-4))[1]


def test_losses_are_small_for_the_truth_and_ignore_unknown_pixels() -> None:
    labels = torch.zeros(1, 2, 16, 16, dtype=torch.uint8)
    labels[:, :, 4:12, 4:12] = 1
    probabilities = perfect(labels, 2)
    assert float(dice_loss(probabilities, labels)) == pytest.approx(0, abs=0.02)
    assert float(bootstrapped_cross_entropy(probabilities.log(), labels, 0.1)) < 0.01
    unknown = labels.clone()
    unknown[:, :, :2] = IGNORE
    wrong = perfect(torch.where(unknown == IGNORE, torch.ones_like(labels), labels), 2)
    assert float(dice_loss(wrong, unknown)) == pytest.approx(0, abs=0.02)
    assert float(bootstrapped_cross_entropy(wrong.log(), unknown)) < 0.01
    assert float(dice_loss(wrong, labels)) > 0.05


def test_bootstrapping_counts_the_hardest_pixels() -> None:
    logits = torch.zeros(1, 1, 2, 1, 10)
    logits[
        ...,
        0,
        :9,
    ] = 0  # all undecided …
    logits[:, :, 1, 0, 0] = 10.0  # … but one certainly wrong
    labels = torch.zeros(1, 1, 1, 10, dtype=torch.uint8)
    assert float(bootstrapped_cross_entropy(logits, labels, 0.1)) == pytest.approx(10, rel=1e-3)
    assert float(bootstrapped_cross_entropy(logits, labels)) < 2


def test_iou_counts_present_objects_only() -> None:
    labels = torch.zeros(1, 2, 8, 8, dtype=torch.uint8)
    labels[:, 0, :4] = 1
    labels[:, 1, :2] = 1
    said = torch.zeros_like(labels)
    said[:, :, :4] = 1
    assert clip_iou(perfect(said, 2), labels) == pytest.approx([1.0, 0.5])

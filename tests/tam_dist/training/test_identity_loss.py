"""The loss on where memory is read: low where each thing finds itself, high where it finds its look-alike."""

from __future__ import annotations

import pytest
import torch

from tam_dist.models.xmem.network import KeyFeatures
from tam_dist.training.identity_loss import cell_labels, matching_loss
from tam_dist.training.layers import IGNORE, UNTRACKED


def features(ids: torch.Tensor, strength: float = 6.0) -> KeyFeatures:
    """Keys of a frame of cells ``ids`` (h, w): cells of one id have the same key, others are far off."""
    directions = strength * torch.eye(4)
    key = directions[ids].permute(2, 0, 1)[None]
    empty = torch.zeros(0)
    return KeyFeatures(empty, empty, empty, key, torch.ones(1, 1, *ids.shape), torch.ones_like(key))


def instances(*frames: list[list[int]], stride: int = 4) -> torch.Tensor:
    cells = torch.tensor(frames, dtype=torch.uint8)
    return cells.repeat_interleave(stride, 1).repeat_interleave(stride, 2)[None]


def test_each_thing_should_find_itself() -> None:
    before, after = [[1, 0], [UNTRACKED, 0]], [[UNTRACKED, 0], [1, 0]]
    look = {0: 0, 1: 1, UNTRACKED: 2}
    right = [features(torch.tensor([[look[c] for c in row] for row in frame])) for frame in (before, after)]
    assert float(matching_loss(right, instances(before, after))) == pytest.approx(0, abs=1e-3)
    # the same looks, but who is who has changed: each finds the other
    assert float(matching_loss(right, instances(before, before))) > 5


def test_a_new_thing_should_not_find_the_tracked_one() -> None:
    before, after = [[1, 0], [0, 0]], [[UNTRACKED, 0], [0, 0]]
    as_ground, as_object = torch.tensor([[0, 0], [0, 0]]), torch.tensor([[1, 0], [0, 0]])
    memory = features(torch.tensor([[1, 0], [0, 0]]))
    assert float(matching_loss([memory, features(as_ground)], instances(before, after))) < 1e-3
    assert float(matching_loss([memory, features(as_object)], instances(before, after))) > 5


def test_what_is_not_known_and_what_memory_does_not_hold_is_left_out() -> None:
    before, after = [[IGNORE, 0], [0, 0]], [[1, 0], [0, IGNORE]]
    look = torch.tensor([[1, 0], [0, 0]])
    clip = [features(look), features(look)]
    clip[1].key.requires_grad_()
    loss = matching_loss(clip, instances(before, after))
    loss.backward()  # type: ignore[no-untyped-call]
    assert clip[1].key.grad is not None
    assert torch.isfinite(clip[1].key.grad).all()
    assert float(clip[1].key.grad[..., 0, 0].abs().max()) == 0
    assert float(clip[1].key.grad[..., 1, 1].abs().max()) == 0


def test_a_clip_of_nothing_known_costs_nothing() -> None:
    nothing = [[IGNORE, IGNORE]]
    clip = [features(torch.tensor([[0, 1]]))] * 2
    assert float(matching_loss(clip, instances(nothing, nothing))) == 0


def test_a_cell_of_several_things_is_of_none() -> None:
    picture = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    picture[..., :2] = 1
    assert cell_labels(picture, 8).tolist() == [[[[0]]]]
    picture[..., :4, :] = 1
    assert cell_labels(picture, 8).item() == IGNORE

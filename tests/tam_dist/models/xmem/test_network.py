"""The small network, odd variants of official checkpoints, and properties of soft aggregation."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tam_dist.models.xmem.config import SMALL, XMemConfig
from tam_dist.models.xmem.network import XMem, aggregate


@pytest.fixture(scope="module")
def small() -> XMem:
    torch.manual_seed(0)
    return XMem(SMALL).eval().requires_grad_(False)


def test_small_network_fits_its_budget(small: XMem) -> None:
    half_precision = 2 * sum(t.numel() for t in small.state_dict().values())
    assert half_precision < 8e6


@pytest.mark.parametrize("objects", [1, 3])
def test_small_network_shapes(small: XMem, objects: int) -> None:
    batch, height, width = 2, 64, 96
    frames, masks = torch.randn(batch, 3, height, width), torch.rand(batch, objects, height, width)
    features = small.encode_key(frames)
    grid = (height // 16, width // 16)
    assert features.key.shape == features.selection.shape == (batch, 64, *grid)
    assert features.shrinkage.shape == (batch, 1, *grid)
    hidden = torch.zeros(batch, objects, small.config.hidden_dim, *grid)
    value, hidden = small.encode_value(frames, features, hidden, masks)
    assert value.shape == (batch, objects, small.config.value_dim, *grid)
    assert hidden.abs().max() > 0
    updated, logits, probabilities = small.segment(features, value, hidden)
    assert updated.shape == hidden.shape
    assert logits.shape == probabilities.shape == (batch, objects + 1, height, width)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(batch, height, width))


def test_bounded_matching_stays_within_its_bounds(small: XMem) -> None:
    features = small.encode_key(100 * torch.randn(1, 3, 64, 64))
    assert features.shrinkage.min() >= 1
    assert features.shrinkage.max() <= SMALL.max_shrinkage
    rms = features.key.square().mean(1).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, SMALL.key_scale), rtol=1e-3, atol=0)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = XMem(SMALL).train()
    frames, masks = torch.randn(1, 3, 64, 64), torch.rand(1, 2, 64, 64)
    features = network.encode_key(frames)
    hidden = torch.zeros(1, 2, SMALL.hidden_dim, 4, 4)
    value, hidden = network.encode_value(frames, features, hidden, masks)
    hidden, _, probabilities = network.segment(features, value, hidden)
    parts = (probabilities[:, 1], hidden, features.key * features.selection * features.shrinkage)
    torch.stack([p.square().mean() for p in parts]).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_batch_norms_stay_fixed_in_training(official_network: XMem) -> None:
    norms = [m for m in official_network.train().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(m.training for m in norms)
    assert not official_network.eval().training


def test_objects_share_the_frame_but_not_each_other(small: XMem) -> None:
    """Decoding three objects together is decoding each alone, before they compete."""
    torch.manual_seed(1)
    features = small.encode_key(torch.randn(1, 3, 64, 64))
    readout, hidden = torch.randn(1, 3, 96, 4, 4), torch.randn(1, 3, SMALL.hidden_dim, 4, 4)
    _, together = small.raw_logits(features, readout, hidden)
    alone = [small.raw_logits(features, readout[:, i : i + 1], hidden[:, i : i + 1])[1] for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone, 1), rtol=1e-4, atol=1e-4)


def test_single_object_checkpoint_gets_a_silent_channel(official_state: dict[str, Tensor]) -> None:
    state = dict(official_state)
    state["value_encoder.conv1.weight"] = state["value_encoder.conv1.weight"][:, :4]
    stem = XMem.from_official(state).value_encoder.conv1.weight
    assert stem.shape[1] == 5
    assert not stem[:, 4].any()


def test_checkpoint_without_sensory_memory(official_state: dict[str, Tensor]) -> None:
    state = {k: v for k, v in official_state.items() if "hidden_" not in k}
    fused = XMemConfig().f16_dim + XMemConfig().value_dim
    for name in ("conv1", "downsample"):
        key = f"decoder.fuser.block1.{name}.weight"
        state[key] = state[key][:, :fused]
    network = XMem.from_official(state).requires_grad_(False)
    assert network.config == dataclasses.replace(XMemConfig(), hidden_dim=0)
    frames = torch.randn(1, 3, 32, 32)
    features = network.encode_key(frames)
    value, hidden = network.encode_value(frames, features, torch.zeros(1, 2, 0, 2, 2), torch.rand(1, 2, 32, 32))
    assert hidden.shape == (1, 2, 0, 2, 2)
    assert network.segment(features, value, hidden)[2].shape == (1, 3, 32, 32)


def test_checkpoint_without_batch_counters(official_state: dict[str, Tensor]) -> None:
    XMem.from_official({k: v for k, v in official_state.items() if not k.endswith("num_batches_tracked")})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6))
def test_aggregate_is_a_distribution_in_the_order_of_its_input(values: list[float]) -> None:
    _, probabilities = aggregate(torch.tensor(values).view(-1, 1, 1))
    objects = probabilities[1:, 0, 0].tolist()
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    for a, pa in zip(values, objects, strict=True):
        for b, pb in zip(values, objects, strict=True):
            assert a > b or pa <= pb

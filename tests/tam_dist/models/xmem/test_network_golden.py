"""Single calls of the network against the golden vectors, with the same random weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tam_dist.models.xmem.network import KeyFeatures, aggregate, normalise
from tests.tam_dist.models.xmem.conftest import Golden


@pytest.fixture(scope="module")
def units(golden: Golden) -> dict[str, Tensor]:
    return {key: torch.from_numpy(array) for key, array in golden.load("case4_units").items()}


@pytest.fixture(scope="module")
def encoded(golden: Golden, units: dict[str, Tensor]) -> tuple[Tensor, KeyFeatures]:
    frames = normalise(units["images"])
    with torch.inference_mode():
        return frames, golden.network.encode_key(frames)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_encode_key(encoded: tuple[Tensor, KeyFeatures], units: dict[str, Tensor]) -> None:
    features = encoded[1]
    close(features.f16[:1], units["f16_0"])
    close(features.f8[:1, ::4], units["f8_0_every4ch"])
    close(features.f4[:1, ::4], units["f4_0_every4ch"])
    for i in range(3):
        one = features.frame(i)
        close(one.key, units[f"key_{i}"])
        close(one.shrinkage, units[f"shrinkage_{i}"])
        close(one.selection, units[f"selection_{i}"])


@torch.inference_mode()
def test_encode_value(golden: Golden, encoded: tuple[Tensor, KeyFeatures], units: dict[str, Tensor]) -> None:
    frames, features = encoded
    masks, hidden = units["masks3"][None], units["hidden_in"]
    value, new = golden.network.encode_value(
        frames[:1], features.frame(0), torch.zeros_like(hidden[:, :1]), masks[:, :1], deep_update=True
    )
    close(value, units["value_1obj"])
    close(new, units["hidden_out_1obj"])
    value, new = golden.network.encode_value(frames[:1], features.frame(0), hidden, masks, deep_update=True)
    close(value, units["value_3obj_0"])
    close(new, units["hidden_out_3obj"])
    value, new = golden.network.encode_value(frames[1:2], features.frame(1), hidden, masks, deep_update=False)
    close(value, units["value_3obj_1"])
    assert torch.equal(new, hidden)


@torch.inference_mode()
def test_encode_value_of_a_batch_equals_one_by_one(
    golden: Golden, encoded: tuple[Tensor, KeyFeatures], units: dict[str, Tensor]
) -> None:
    frames, features = encoded
    masks, hidden = units["masks3"].expand(2, -1, -1, -1), units["hidden_in"].expand(2, -1, -1, -1, -1)
    two = KeyFeatures(*(t[:2] for t in vars(features).values()))
    value, _ = golden.network.encode_value(frames[:2], two, hidden, masks)
    close(value[:1], units["value_3obj_0"])
    close(value[1:], units["value_3obj_1"])


@torch.inference_mode()
def test_segment(golden: Golden, encoded: tuple[Tensor, KeyFeatures], units: dict[str, Tensor]) -> None:
    features = encoded[1].frame(2)
    hidden, logits, probabilities = golden.network.segment(features, units["readout"], units["hidden_in"])
    close(hidden, units["seg_hidden"])
    close(logits, units["seg_logits"])
    torch.testing.assert_close(probabilities, units["seg_prob"], rtol=0, atol=1e-4)
    kept, _, without = golden.network.segment(features, units["readout"], units["hidden_in"], update_hidden=False)
    assert torch.equal(without, probabilities)
    assert torch.equal(kept, units["hidden_in"])


def test_aggregate(units: dict[str, Tensor]) -> None:
    logits, probabilities = aggregate(units["agg_in"])
    torch.testing.assert_close(logits, units["agg_logits"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(probabilities, units["agg_prob"], rtol=1e-5, atol=1e-6)

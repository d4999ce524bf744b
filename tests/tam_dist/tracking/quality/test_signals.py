"""The contract: signals are finite whatever the masks, and go on with the same bits from a saved state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tam_dist.config import load_config
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.quality.signals import SIGNALS, SignalTracker
from tests.tiny import HEIGHT, WIDTH, moving_square, square

VIDEO = moving_square(6)
CPU = torch.device("cpu")


def observed(network: XMem, masks: dict[int, Tensor], *, save_at: int | None = None) -> Tensor:
    """float32 (frames - 1, n, S)."""
    core, tracker = InferenceCore(network, load_config().propagation, device=CPU), SignalTracker()
    found = []
    for t, pixels in enumerate(VIDEO):
        (frame,) = core.encode(torch.from_numpy(pixels.copy())[None])
        prediction = None
        if t > 0:
            prediction = core.predict(frame)
            found.append(tracker.observe(frame, prediction))
        probabilities = core.update(frame, prediction, {} if t else masks)
        tracker.settle(frame, probabilities, core.object_ids, frozenset() if t else frozenset(masks))
        if t == save_at:
            tracker = SignalTracker.restore(*tracker.state(), CPU)
    return torch.stack(found)


def mask(x: int, y: int, side: int = 16) -> Tensor:
    return torch.from_numpy(square(x, y, side).astype(np.float32))


@pytest.mark.parametrize(
    "masks",
    [
        {1: torch.zeros(HEIGHT, WIDTH)},
        {1: torch.ones(HEIGHT, WIDTH)},
        {1: mask(20, 20, 1)},
        {1: mask(WIDTH - 3, 4)},
        {1: mask(4, 10), 2: mask(20, 10)},
        {i: mask(2 * i % WIDTH, 6 * (i // 6), 2) for i in range(1, 31)},
    ],
    ids=["nothing", "everything", "one pixel", "cut by the border", "touching", "thirty"],
)
def test_signals_are_finite_for_any_masks(network: XMem, masks: dict[int, Tensor]) -> None:
    with torch.inference_mode():
        found = observed(network, masks)
    assert found.shape == (len(VIDEO) - 1, len(masks), len(SIGNALS))
    assert torch.isfinite(found).all()


def test_a_restored_tracker_sees_the_same(network: XMem) -> None:
    masks = {1: mask(4, 10), 2: mask(40, 20)}
    with torch.inference_mode():
        assert torch.equal(observed(network, masks), observed(network, masks, save_at=2))


def test_an_unchanged_mask_overlaps_itself_and_keeps_its_area(network: XMem) -> None:
    tracker = SignalTracker()
    core = InferenceCore(network, load_config().propagation, device=CPU)
    with torch.inference_mode():
        (frame,) = core.encode(torch.from_numpy(VIDEO[0].copy())[None])
        probabilities = core.update(frame, None, {1: mask(4, 10)})
        tracker.settle(frame, probabilities, (1,), frozenset({1}))
        tracker.settle(frame, probabilities, (1,), frozenset())
        prediction = core.predict(frame)
        tracker.settle(frame, prediction.probabilities, (1,), frozenset())
        (row,) = tracker.observe(frame, prediction)
    seen = dict(zip(SIGNALS, row.tolist(), strict=True))
    assert seen["overlap"] == 1.0
    assert seen["area_change"] == 0.0
    assert -1.001 <= seen["appearance"] <= 1.001

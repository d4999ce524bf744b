"""How far masks are trusted, and whose a pixel is."""

from __future__ import annotations

import pytest
import torch

from tam_dist.tracking.quality.confidence import confidence, masks_of


@pytest.mark.parametrize("objects", [0, 1, 2, 30])
def test_a_pixel_is_of_the_likeliest_and_of_equals_of_the_first(objects: int) -> None:
    generator = torch.Generator().manual_seed(objects)
    probabilities = torch.randint(0, 3, (objects + 1, 9, 11), generator=generator) / 2  # many equals
    ids = torch.arange(1, objects + 1).view(-1, 1, 1)
    assert torch.equal(masks_of(probabilities), probabilities.argmax(0, keepdim=True) == ids)


def test_confidence_is_high_for_clear_masks_and_clear_absence() -> None:
    clear = torch.zeros(4, 8, 8)
    clear[1, :4] = 0.98  # a clear mask
    clear[2, 4:6] = 0.4  # never wins: an unclear absence
    clear[0] = 1 - clear[1:].sum(0)
    trust = confidence(clear, masks_of(clear).float())
    assert trust[0] == pytest.approx(0.98)
    assert trust[1] == pytest.approx(0.6)
    assert trust[2] == pytest.approx(1.0)

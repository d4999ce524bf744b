"""How far to trust a propagated mask, from its own probabilities."""

from __future__ import annotations

import torch
from torch import Tensor


def confidence(probabilities: Tensor) -> Tensor:
    """Per object, 0..1: the mean probability inside its mask, or for an empty mask how clearly it is empty.

    ``probabilities`` float (n+1, h, w), background first, as XMem's soft aggregation gives them. Returns float (n,).

    >>> p = torch.tensor([[[0.1, 0.8]], [[0.9, 0.2]]])
    >>> round(confidence(p).item(), 3)
    0.9
    """
    objects = probabilities[1:]
    winner = probabilities.argmax(dim=0)
    ids = torch.arange(1, len(probabilities), device=probabilities.device).view(-1, 1, 1)
    inside = winner.unsqueeze(0) == ids
    area = inside.flatten(1).sum(1)
    mean_inside = (objects * inside).flatten(1).sum(1) / area.clamp(min=1)
    emptiness = 1 - objects.flatten(1).amax(1)
    return torch.where(area > 0, mean_inside, emptiness)

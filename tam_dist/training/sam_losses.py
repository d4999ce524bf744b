"""What the small SAM is trained on: masks by cross-entropy and dice, predicted IoU by squared error."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MASK_LOGIT_THRESHOLD = 0.0
CLEAR = 0.7  # the single mask's share of the loss where prompts say clearly what is meant


def mask_losses(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy + dice of every output, float (P, M).

    ``logits`` (P, M, G, G), ``targets`` (P, G, G) coverage 0..1, ``known`` (P, G, G) weight of each cell. Coverage, not a
    binary mask, is the target: at a quarter of the input's resolution it is what keeps the borders.
    """
    targets, known = targets[:, None].expand_as(logits), known[:, None]
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    entropy = (entropy * known).sum((-2, -1)) / known.sum((-2, -1)).clamp(min=1)
    inside = logits.sigmoid() * known
    overlap = (inside * targets).sum((-2, -1))
    dice = 1 - (2 * overlap + 1) / (inside.sum((-2, -1)) + (targets * known).sum((-2, -1)) + 1)
    return 3 * entropy + dice


@torch.no_grad()
def true_ious(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """IoU of every thresholded output with its target, float (P, M); shapes as in :func:`mask_losses`."""
    certain = known[:, None] > 0.5
    predicted = (logits > MASK_LOGIT_THRESHOLD) & certain
    truth = (targets[:, None] > 0.5) & certain
    union = (predicted | truth).sum((-2, -1))
    return (predicted & truth).sum((-2, -1)) / union.clamp(min=1)


def sam_loss(logits: Tensor, predicted_ious: Tensor, targets: Tensor, known: Tensor, *, single: float) -> tuple[Tensor, Tensor]:
    """Scalar loss of one round, and true IoUs (P, 4) of its four outputs (0: the single mask, 1-3: the alternatives).

    Of the alternatives only the best is taught ("Segment Anything", section 3), the single mask with a share of ``single``:
    less where the prompt is ambiguous (one click), :data:`CLEAR` elsewhere, so that any of them may be used at any time.
    Every predicted IoU is taught on every round: it has to be honest also for masks that nobody would choose.
    """
    losses = mask_losses(logits, targets, known)
    ious = true_ious(logits, targets, known)
    masks = (single * losses[:, 0] + (1 - single) * losses[:, 1:].min(dim=1).values).mean()
    return masks + F.mse_loss(predicted_ious, ious), ious

"""How the small SAM is shown clicks and boxes: as tokens, like every SAM, and drawn into its mask prompt as well.

A decoder this small, trained this briefly, finds a click's place through attention alone only roughly, and a correction
hardly moves the mask. Discs in an input plane are what interactive segmentation networks of this size rely on ("Reviving
Iterative Training with Mask Guidance", Sofiiuk et al. 2021, section 3.1). SAM's mask prompt is such a plane.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CELL = 4  # input pixels per cell of the mask prompt
_DISC_RADIUS = 2.0  # cells
_DISC_LOGIT = 12.0
_SOFT_LOGIT = 3.0  # earlier masks are squeezed to this, so that a click stands out of a mask that is sure and wrong


def draw_hints(points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None, side: int) -> Tensor:
    """The mask prompt, float32 (P, 1, side, side), with what else was asked drawn into it.

    ``points``: float (P, N, 2) x, y in input pixels and (P, N) labels, 1 in, 0 out, -1 none; ``boxes`` float (P, 4) or None;
    ``masks`` logits (P, 1, side, side) or None. Zero means nothing is known. At least one is given; later points win.
    """
    given = next(tensor for tensor in (masks, boxes, None if points is None else points[0]) if tensor is not None)
    centres = (torch.arange(side, device=given.device, dtype=torch.float32) + 0.5) * _CELL
    if masks is not None:
        plane = _SOFT_LOGIT * torch.tanh(masks / _SOFT_LOGIT)
    elif boxes is not None:
        x0, y0, x1, y1 = boxes[:, None, None, :].unbind(-1)
        inside = (centres >= x0) & (centres <= x1) & ((centres >= y0) & (centres <= y1)).transpose(1, 2)
        plane = torch.where(inside, 1.0, -_SOFT_LOGIT)[:, None]
    else:
        plane = given.new_zeros(len(given), 1, side, side)
    if points is not None:
        for position, label in zip(points[0].unbind(1), points[1].unbind(1), strict=True):
            dx = centres - position[:, :1]
            dy = centres - position[:, 1:]
            disc = (dx[:, None, :] ** 2 + dy[:, :, None] ** 2) <= (_DISC_RADIUS * _CELL) ** 2
            disc &= (label >= 0)[:, None, None]
            value = torch.where(label > 0, _DISC_LOGIT, -_DISC_LOGIT).to(plane.dtype)
            plane = torch.where(disc[:, None], value[:, None, None, None], plane)
    return plane

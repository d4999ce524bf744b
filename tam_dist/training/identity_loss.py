"""A loss on where memory is read: a place of this object must find this object, not its neighbour.

Masks alone teach it poorly: where a look-alike is matched, the decoder can often still guess from the latest mask, until a
cut takes that away. This is a contrastive loss over pixels, as in MobileVOS (arXiv 2303.07815), with XMem's own similarity
in place of a cosine, so that it trains exactly what is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tam_dist.models.xmem.network import KeyFeatures
from tam_dist.training.layers import IGNORE, UNTRACKED
from tam_dist.training.xmem_clip import similarity

_PURE = 0.6  # share of a cell that must be of one instance for the cell to be of it


def cell_labels(instances: Tensor, stride: int) -> Tensor:
    """The instance that a cell of ``stride`` pixels shows: ``instances`` uint8 (…, H, W) to int64 (…, H/s, W/s), 255 where it
    shows several.

    >>> cell_labels(torch.tensor([[[1, 1, 0, 2], [1, 1, 2, 0]]], dtype=torch.uint8), 2).tolist()
    [[[1, 255]]]
    """
    centre = instances[..., stride // 2 :: stride, stride // 2 :: stride]
    spread = centre.repeat_interleave(stride, -2).repeat_interleave(stride, -1)
    same = F.avg_pool2d((spread == instances).float().flatten(0, -3).unsqueeze(1), stride).reshape(centre.shape)
    return torch.where(same >= _PURE, centre, IGNORE).long()


def matching_loss(features: Sequence[KeyFeatures], instances: Tensor) -> Tensor:
    """Minus the logarithm of the share of each place's softmax over earlier frames that falls where it should; scalar.

    A tracked object should find itself, any other thing itself or, where it is new, anything that is not tracked;
    background anything that is not tracked. Objects and other things count four times as much as all background.
    ``features``: of frames 0..T - 1, B clips each; ``instances`` uint8 (B, T, H, W).
    """
    stride = instances.shape[-1] // features[0].key.shape[-1]
    labels = cell_labels(instances, stride).flatten(2)  # (B, T, h·w)
    things, ground = [], []
    for t in range(1, len(features)):
        keys = torch.cat([f.key.flatten(2) for f in features[:t]], 2)
        shrinkage = torch.cat([f.shrinkage.flatten(1) for f in features[:t]], 1)
        found = similarity(features[t], keys, shrinkage).masked_fill((remembered(labels, t) == IGNORE).unsqueeze(2), -torch.inf)
        memory, here = remembered(labels, t).unsqueeze(2), labels[:, t].unsqueeze(1)
        same = memory == here
        known = same.any(1, keepdim=True) & (here > 0)
        right = torch.where(known, same, (memory == 0) | (memory >= UNTRACKED)) & (memory != IGNORE)
        # a tracked object that memory does not hold yet has nowhere to be found
        usable = ((here != IGNORE) & right.any(1, keepdim=True) & (known | (here == 0) | (here >= UNTRACKED))).squeeze(1)
        right_only = found.masked_fill(~right, -torch.inf)
        loss = torch.where(usable, torch.logsumexp(found, 1) - torch.logsumexp(right_only, 1), 0.0)
        thing = usable & (labels[:, t] > 0)
        things.append((loss[thing], thing))
        ground.append(loss[usable & ~thing])
    of_things = torch.cat([x for x, _ in things])
    of_ground = torch.cat(ground)
    zero = labels.new_zeros((), dtype=torch.float32)
    return 0.8 * (of_things.mean() if len(of_things) else zero) + 0.2 * (of_ground.mean() if len(of_ground) else zero)


def remembered(labels: Tensor, t: int) -> Tensor:
    """Labels (B, t·h·w) of the frames before ``t``, out of ``labels`` (B, T, h·w)."""
    return labels[:, :t].flatten(1)

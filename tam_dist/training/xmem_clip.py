"""One training clip through XMem as it is used: memory of several frames, hidden state, objects that exclude each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tam_dist.models.xmem.network import KeyFeatures, XMem
from tam_dist.training.layers import IGNORE


@dataclass(frozen=True, eq=False)
class ClipPrediction:
    """``logits`` and ``probabilities``: float32 (B, T - 1, n + 1, H, W) for frames 1..T - 1, background first.

    ``top1`` is the mean share of the softmax that falls on the best match: 1 means that matching has saturated and keys no
    longer learn (it happened with unbounded shrinkage). ``shrinkage`` and ``key_rms`` are means over the clip. ``features``
    are those of frames 0..T - 1.
    """

    logits: Tensor
    probabilities: Tensor
    top1: float
    shrinkage: float
    key_rms: float
    features: list[KeyFeatures]


def similarity(features: KeyFeatures, keys: Tensor, shrinkage: Tensor) -> Tensor:
    """How well each memory element fits each query: float32 (B, N, h·w), at most 0 (paper, equation 2).

    ``keys`` (B, Ck, N) and ``shrinkage`` (B, N) are the memory's.
    """
    # differences of large numbers: in bfloat16 they would be off by more than they differ
    with torch.autocast(keys.device.type, enabled=False):
        query, selection = features.key.float().flatten(2), features.selection.float().flatten(2)
        keys = keys.float()
        squared = keys.square().transpose(1, 2) @ selection
        crossed = keys.transpose(1, 2) @ (query * selection)
        distance = squared - 2 * crossed + (selection * query.square()).sum(1, keepdim=True)
        return -distance * (shrinkage.float() / math.sqrt(keys.shape[1])).unsqueeze(2)


def match(features: KeyFeatures, keys: Tensor, shrinkage: Tensor, top_k: int = 0) -> Tensor:
    """Share of each memory element in each query: float32 (B, N, h·w), each column summing to 1 (paper, equation 3).

    ``top_k`` 0 draws on all N elements.
    """
    found = similarity(features, keys, shrinkage)
    if 0 < top_k < found.shape[1]:
        floor = found.topk(top_k, dim=1).values[:, -1:]
        found = found.masked_fill(found < floor, -torch.inf)
    return torch.softmax(found, dim=1)


def read(affinity: Tensor, values: Tensor, height: int) -> Tensor:
    """Memory readout (B, n, Cv, h, w) of ``values`` (B, n, Cv, N) by ``affinity`` (B, N, h·w)."""
    batch, objects = values.shape[:2]
    readout = values.flatten(1, 2) @ affinity
    return readout.view(batch, objects, values.shape[2], height, -1)


class Memory:
    """Everything remembered of a clip, as dense tensors: made for a handful of frames."""

    def __init__(self) -> None:
        self._keys: list[Tensor] = []
        self._shrinkage: list[Tensor] = []
        self._values: list[Tensor] = []

    def add(self, features: KeyFeatures, value: Tensor) -> None:
        """``value`` (B, n, Cv, h, w)."""
        self._keys.append(features.key.flatten(2))
        self._shrinkage.append(features.shrinkage.flatten(1))
        self._values.append(value.flatten(3))

    def read(self, features: KeyFeatures, top_k: int = 0) -> tuple[Tensor, Tensor]:
        """Readout (B, n, Cv, h, w) and affinity (B, N, h·w)."""
        affinity = match(features, torch.cat(self._keys, 2), torch.cat(self._shrinkage, 1), top_k)
        return read(affinity, torch.cat(self._values, 3), features.key.shape[-2]), affinity


def predict_clip(
    network: XMem,
    frames: Tensor,
    first: Tensor,
    remembered: Sequence[bool],
    *,
    top_k: int = 0,
    forgetful: Tensor | None = None,
) -> ClipPrediction:
    """Segment frames 1..T - 1 from the masks of frame 0.

    ``frames`` float (B, T, 3, H, W), normalised; ``first`` float (B, n, H, W); ``remembered[t]``: frame t enters memory, which
    updates the hidden state deeply, otherwise the decoder updates it, as at inference (frame 0 always enters). Clips marked
    in ``forgetful`` bool (B,) see no latest mask in their hidden state: without them the decoder relies on it alone.
    """
    batch, length = frames.shape[:2]
    everything = network.encode_key(frames.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    features = [_at(everything, batch, t) for t in range(length)]
    hidden = first.new_zeros(*first.shape[:2], network.config.hidden_dim, *everything.key.shape[-2:])
    memory = Memory()
    value, hidden = network.encode_value(frames[:, 0], features[0], hidden, first)
    memory.add(features[0], value)
    logits, probabilities, best = [], [], []
    for t in range(1, length):
        if forgetful is not None and network.config.mask_in_hidden:
            latest = hidden[:, :, -1:].masked_fill(forgetful.view(-1, 1, 1, 1, 1), 0.0)
            hidden = torch.cat([hidden[:, :, :-1], latest], 2)
        readout, affinity = memory.read(features[t], top_k)
        best.append(affinity.detach().amax(1).mean())
        last = t == length - 1
        enters = remembered[t] and not last
        hidden, frame_logits, frame_probabilities = network.segment(features[t], readout, hidden, not (enters or last))
        logits.append(frame_logits)
        probabilities.append(frame_probabilities)
        if enters:
            value, hidden = network.encode_value(frames[:, t], features[t], hidden, frame_probabilities[:, 1:])
            memory.add(features[t], value)
    return ClipPrediction(
        torch.stack(logits, 1),
        torch.stack(probabilities, 1),
        top1=float(torch.stack(best).mean()),
        shrinkage=float(everything.shrinkage.detach().mean()),
        key_rms=float(everything.key.detach().square().mean().sqrt()),
        features=features,
    )


def _at(features: KeyFeatures, batch: int, t: int) -> KeyFeatures:
    def pick(x: Tensor) -> Tensor:
        return x.view(batch, -1, *x.shape[1:])[:, t]

    return KeyFeatures(*(pick(x) for x in (*features.levels, features.key, features.shrinkage, features.selection)))


# --- losses ------------------------------------------------------------------------------------------------------------


def clip_loss(prediction: ClipPrediction, labels: Tensor, hardest: float = 1.0) -> Tensor:
    """Cross-entropy of the ``hardest`` share of pixels plus dice, averaged over frames; (B,), one a clip.

    ``labels`` uint8 (B, T - 1, H, W): 0, 1..n, 255 not known.
    """
    return bootstrapped_cross_entropy(prediction.logits, labels, hardest) + dice_loss(prediction.probabilities, labels)


def bootstrapped_cross_entropy(logits: Tensor, labels: Tensor, hardest: float = 1.0) -> Tensor:
    """Mean cross-entropy of each frame's hardest pixels, a share 0..1, so that outlines count for more as training goes on.

    ``logits`` (B, T, n + 1, H, W), ``labels`` uint8 (B, T, H, W); returns (B,).
    """
    pixels = F.cross_entropy(logits.flatten(0, 1), labels.flatten(0, 1).long(), ignore_index=IGNORE, reduction="none")
    flat = pixels.flatten(1)
    if hardest < 1:
        flat = flat.topk(max(1, int(hardest * flat.shape[1])), dim=1).values
    return flat.view(*logits.shape[:2], -1).mean((1, 2))


def dice_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """1 - soft dice of each object in each frame; 0 for a perfect mask, defined where the object is absent.

    ``probabilities`` (B, T, n + 1, H, W), ``labels`` uint8 (B, T, H, W); returns (B,).
    """
    p, truth = _known_objects(probabilities, labels)
    overlap = (p * truth).sum((-2, -1))
    return (1 - (2 * overlap + 1) / (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)).mean((1, 2))


@torch.no_grad()
def clip_iou(probabilities: Tensor, labels: Tensor) -> list[float]:
    """Mean IoU of the objects present, for each frame; NaN where none is."""
    winner = probabilities.argmax(2)
    p, truth = _known_objects(F.one_hot(winner, probabilities.shape[2]).movedim(-1, 2).float(), labels)
    overlap = (p * truth).sum((-2, -1))
    union = p.sum((-2, -1)) + truth.sum((-2, -1)) - overlap
    present = truth.sum((-2, -1)) > 0
    iou = torch.where(present, overlap / union.clamp(min=1), torch.nan)
    return [float(x) for x in iou.movedim(1, 0).flatten(1).nanmean(1)]


def _known_objects(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Object channels and their truth, float (B, T, n, H, W), zero where the label is not known."""
    ids = torch.arange(1, probabilities.shape[2], device=labels.device).view(-1, 1, 1)
    known = (labels != IGNORE).unsqueeze(2)
    return probabilities[:, :, 1:] * known, (labels.unsqueeze(2) == ids).float()

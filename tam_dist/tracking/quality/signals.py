"""What a frame tells about each of its masks besides the mask itself, in a dozen numbers an object.

Everything is looked at where XMem itself looks: probabilities at its stride of 4, memory's evidence and features at its
stride of 16. So the cost does not grow with the video's size beyond XMem's own, and there is one transfer from the device a
frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from tam_dist.models.xmem.inference import EncodedFrame, Prediction
from tam_dist.tracking.quality.confidence import confidence, masks_of

#: The columns of :meth:`SignalTracker.observe`, in order.
SIGNALS = (
    "confidence",  # mean probability inside the mask; for an empty one how clearly it is empty
    "peak",  # the object's largest probability anywhere
    "entropy_inside",  # mean binary entropy inside the mask, bits
    "entropy_border",  # the same over the mask's dilated border (LazyXMem, ACCV 2024, looks there)
    "entropy_rise",  # its change against its running mean
    "foreground_inside",  # share of affinity on remembered foreground, inside the mask
    "foreground_outside",  # share of all foreground affinity that lies outside the mask
    "agreement",  # intersection over union of memory's foreground and the mask, both soft
    "similarity_inside",  # best matches inside the mask, mean
    "similarity_frame",  # best matches in the whole frame, mean: falls at cuts
    "area",  # natural logarithm of the mask's share of the frame
    "area_change",  # logarithm of its ratio to the last frame's
    "area_drift",  # logarithm of its ratio to the median of recent frames
    "overlap",  # intersection over union with the last mask, moved so that their centres coincide
    "appearance",  # cosine of its mean feature with that of its given masks, frame mean subtracted
    "contrast",  # how much more alike to them it is than its surroundings are
)
#: Sampling of the probabilities: XMem's decoder gives one logit for so many pixels each way.
STRIDE = 4
_CELLS = 4  # samples of the probabilities across one cell of memory
_BORDER = 5  # samples across the band that a border is
_RECENT = 10
_MEMORY_OF_ENTROPY = 0.9
_TINY = 1e-6


@dataclass(eq=False)
class _Rows:
    """One row an object: ``mask`` float (n, h, w) of the last frame, ``areas`` (n, recent) as shares of the frame, NaN where
    there was none; ``entropy`` (n,), running mean over borders, NaN at first; ``appearance`` (n, C) sum of normalised
    features of given masks.
    """

    mask: Tensor
    areas: Tensor
    entropy: Tensor
    appearance: Tensor


@dataclass(eq=False)
class SignalTracker:
    """Observes the frames of one session in order; its state goes with the session's snapshots.

    What :meth:`observe` looked at is kept for :meth:`settle` of the same frame: most masks stay as predicted, and looking
    twice cost 2 % of a frame's time.
    """

    ids: tuple[int, ...] = ()
    rows: _Rows | None = field(default=None)
    _seen: tuple[_Look, Tensor] | None = field(default=None, repr=False)  # with the entropy of its borders

    def observe(self, frame: EncodedFrame, prediction: Prediction) -> Tensor:
        """Signals float32 (n, len(SIGNALS)) of the prediction's objects, on the device. Changes nothing."""
        look = _Look.at(frame, prediction.probabilities)
        rows = self._aligned(prediction.object_ids, look)
        fg, best = prediction.evidence.foreground, prediction.evidence.similarity[0]
        coverage, mask, p = look.coverage, look.mask, look.probability[1:]
        covered = coverage.flatten(1).sum(1)
        area = mask.flatten(1).mean(1)
        entropy = _binary_entropy(p)
        band = _dilate(mask) - (1 - _dilate(1 - mask))
        border = _mean(entropy, band)
        self._seen = look, border
        together, either = torch.minimum(fg, coverage), torch.maximum(fg, coverage)
        mass = fg.flatten(1).sum(1)
        last = rows.areas[:, -1]
        median = rows.areas.nanmedian(1).values
        own, ring = look.pooled(), look.pooled(around=True)
        reference = F.normalize(rows.appearance, dim=1)
        likeness = (own * reference).sum(1)
        columns = [
            confidence(look.probability, mask),
            p.flatten(1).amax(1),
            _mean(entropy, mask),
            border,
            border - rows.entropy,
            _mean(fg, coverage),
            1 - together.flatten(1).sum(1) / mass.clamp(min=_TINY),
            together.flatten(1).sum(1) / either.flatten(1).sum(1).clamp(min=_TINY),
            torch.where(covered > 0, _mean(best.unsqueeze(0), coverage), best.min()),
            best.mean().expand_as(area),
            (area + _TINY).log(),
            ((area + _TINY) / (last + _TINY)).log(),
            ((area + _TINY) / (median + _TINY)).log(),
            _overlap(mask, rows.mask),
            likeness,
            likeness - (ring * reference).sum(1),
        ]
        return torch.stack(columns, 1).nan_to_num(nan=0.0)

    def settle(
        self,
        frame: EncodedFrame,
        probabilities: Tensor,
        ids: Sequence[int],
        given: frozenset[int],
        *,
        as_observed: bool = False,
    ) -> None:
        """Take note of a frame's final masks: ``probabilities`` (n+1, h, w) of ``ids``; ``given`` are those whose masks came
        from a person; ``as_observed``: they are those that :meth:`observe` saw.
        """
        seen, self._seen = self._seen, None
        if seen is None or not as_observed:
            look = _Look.at(frame, probabilities)
            seen = look, _mean(_binary_entropy(look.probability[1:]), _dilate(look.mask) - (1 - _dilate(1 - look.mask)))
        look, border = seen
        rows = self._aligned(tuple(ids), look)
        rows.mask = look.mask
        area = look.mask.flatten(1).mean(1, keepdim=True)
        rows.areas = torch.cat([rows.areas[:, 1:], area], 1)
        mixed = _MEMORY_OF_ENTROPY * rows.entropy + (1 - _MEMORY_OF_ENTROPY) * border
        rows.entropy = torch.where(rows.entropy.isnan(), border, mixed)
        if given:
            rows.appearance = rows.appearance + look.pooled_of(ids, given)
        self.ids, self.rows = tuple(ids), rows

    def learn(self, frame: EncodedFrame, probabilities: Tensor, ids: Sequence[int], given: frozenset[int]) -> None:
        """Take note of how ``given`` objects look in a frame from elsewhere in the video; nothing else of it is a frame ago."""
        look = _Look.at(frame, probabilities)
        rows = self._aligned(tuple(ids), look)
        rows.appearance = rows.appearance + look.pooled_of(ids, given)
        self.ids, self.rows = tuple(ids), rows

    def recent_area(self, object_id: int) -> float:
        """The median of the object's recent areas above 0, as a share of the padded frame; 0 where there is none."""
        if self.rows is None or object_id not in self.ids:
            return 0.0
        areas = self.rows.areas[self.ids.index(object_id)]
        seen = areas[areas > 0]
        return float(seen.median()) if len(seen) else 0.0

    def _aligned(self, ids: tuple[int, ...], look: _Look) -> _Rows:
        """The rows of ``ids`` in their order, new ones for those not met yet."""
        if self.rows is not None and self.ids == ids:
            return _Rows(**vars(self.rows))
        blank = look.blank_rows(len(ids))
        if self.rows is not None:
            for row, object_id in enumerate(ids):
                if object_id in self.ids:
                    old = self.ids.index(object_id)
                    for name, tensor in vars(blank).items():
                        tensor[row] = getattr(self.rows, name)[old]
        return blank

    # --- state -----------------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which :meth:`restore` goes on with the same bits."""
        tensors = {} if self.rows is None else {f"signals.{name}": t for name, t in vars(self.rows).items()}
        return tensors, {"ids": list(self.ids)}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], meta: dict[str, Any], device: torch.device) -> Self:
        own = {n.removeprefix("signals."): t.to(device, copy=True) for n, t in tensors.items() if n.startswith("signals.")}
        return cls(tuple(meta["ids"]), _Rows(**own) if own else None)


@dataclass(frozen=True, eq=False)
class _Look:
    """One frame at the two resolutions: ``probability`` (n+1, h, w) and ``mask`` float (n, h, w) at the stride of 4,
    ``coverage`` (n, h/4, w/4) of cells, ``feature`` (C, h/4, w/4) without its mean over the frame.
    """

    probability: Tensor
    mask: Tensor
    coverage: Tensor
    feature: Tensor

    @classmethod
    def at(cls, frame: EncodedFrame, probabilities: Tensor) -> _Look:
        """``probabilities`` (n+1, h, w) without the padding, which counts as background."""
        height, width = (side // STRIDE for side in frame.image.shape[-2:])
        top, left = frame.padding.top, frame.padding.left
        y, x = (STRIDE // 2 - top) % STRIDE, (STRIDE // 2 - left) % STRIDE  # the first sample inside the picture
        seen = probabilities[:, y::STRIDE, x::STRIDE]
        probability = seen.new_zeros(len(seen), height, width)
        probability[0] = 1
        y, x = (y + top) // STRIDE, (x + left) // STRIDE
        probability[:, y : y + seen.shape[1], x : x + seen.shape[2]] = seen
        mask = masks_of(probability).float()
        feature = frame.features.f16[0].float()
        centred = feature - feature.mean((1, 2), keepdim=True)
        return cls(probability, mask, F.avg_pool2d(mask, _CELLS), centred)

    def pooled(self, *, around: bool = False) -> Tensor:
        """Mean feature of each mask, or of the cells ``around`` it, normalised: (n, C); 0 for an empty mask."""
        weight = self.coverage
        if around:
            wide = F.max_pool2d(self.coverage, _BORDER, 1, _BORDER // 2)
            weight = (wide - self.coverage).clamp(min=0)
        flat = weight.flatten(1) @ self.feature.flatten(1).T
        return F.normalize(flat, dim=1)

    def pooled_of(self, ids: Sequence[int], given: frozenset[int]) -> Tensor:
        """:meth:`pooled` of the ``given`` ones of ``ids``, 0 for the others."""
        known = torch.tensor([i in given for i in ids], device=self.mask.device)
        return self.pooled() * known.unsqueeze(1)

    def blank_rows(self, count: int) -> _Rows:
        new = self.mask.new_zeros
        nan = float("nan")
        return _Rows(
            mask=new(count, *self.mask.shape[1:]),
            areas=new(count, _RECENT).fill_(nan),
            entropy=new(count).fill_(nan),
            appearance=new(count, len(self.feature)),
        )


def _binary_entropy(p: Tensor) -> Tensor:
    """Bits, 0..1."""
    p = p.clamp(_TINY, 1 - _TINY)
    return -(p * p.log2() + (1 - p) * (1 - p).log2())


def _dilate(mask: Tensor) -> Tensor:
    """By rows, then by columns: half the time of both at once."""
    rows = F.max_pool2d(mask, (_BORDER, 1), 1, (_BORDER // 2, 0))
    return F.max_pool2d(rows, (1, _BORDER), 1, (0, _BORDER // 2))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the plane: (n,); 0 where there is no weight."""
    return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=_TINY)


def _overlap(mask: Tensor, last: Tensor) -> Tensor:
    """Intersection over union of two masks (n, h, w) after ``last`` is moved by whole samples to the other's centre: (n,).

    1 where both are empty, 0 where one is.
    """
    n, h, w = mask.shape
    y, x = (torch.arange(size, device=mask.device, dtype=mask.dtype) for size in (h, w))
    a, b = mask.flatten(1).sum(1), last.flatten(1).sum(1)

    def centre(m: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        total = size.clamp(min=1)
        return (m.sum(2) @ y) / total, (m.sum(1) @ x) / total

    (ay, ax), (by, bx) = centre(mask, a), centre(last, b)
    rows = y.view(1, -1) - (ay - by).round().view(-1, 1)
    columns = x.view(1, -1) - (ax - bx).round().view(-1, 1)
    inside = ((rows >= 0) & (rows < h)).unsqueeze(2) & ((columns >= 0) & (columns < w)).unsqueeze(1)
    index = (rows.clamp(0, h - 1).long() * w).unsqueeze(2) + columns.clamp(0, w - 1).long().unsqueeze(1)
    moved = last.flatten(1).gather(1, index.flatten(1)).view(n, h, w) * inside
    both = torch.minimum(mask, moved).flatten(1).sum(1)
    union = torch.maximum(mask, moved).flatten(1).sum(1)
    return torch.where((a == 0) & (b == 0), torch.ones_like(a), both / union.clamp(min=1))

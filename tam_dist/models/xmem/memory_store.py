"""Rows of memory: what XMem keeps of one 16x16 cell of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

#: What life starts from, so that use / life is defined for an element never matched (as official XMem does).
_NEWBORN = 1e-7


@dataclass(frozen=True, eq=False)
class ElementStore:
    """N memory elements as rows, float32 and contiguous.

    ``key`` (N, Ck); ``shrinkage`` (N,); ``selection`` (N, Ck), or (N, 0) where nothing will be consolidated; ``value``
    (N, n, Cv + 2) for the n objects of a group, whose last two channels are the share of the cell that the object covers, 0..1
    (read out like the others it tells how much of a match fell on the object), and 1, or all 0 where the element tells
    nothing about the object. ``use`` and ``life`` (N,) count how much and how
    long elements were matched. Stores are never changed, only replaced, so a reader may hold one.
    """

    key: Tensor
    shrinkage: Tensor
    selection: Tensor
    value: Tensor
    use: Tensor
    life: Tensor

    @classmethod
    def new(cls, key: Tensor, shrinkage: Tensor, selection: Tensor, value: Tensor) -> ElementStore:
        """Elements that were not matched yet."""
        use = torch.zeros_like(shrinkage)
        return cls(key, shrinkage, selection, value, use, torch.full_like(use, _NEWBORN))

    @classmethod
    def concatenate(cls, stores: Sequence[ElementStore]) -> ElementStore:
        return cls(*(torch.cat([getattr(s, f.name) for s in stores]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.key)

    def rows(self, start: int, stop: int) -> ElementStore:
        """Elements ``start`` to ``stop``, as views."""
        return ElementStore(*(getattr(self, f.name)[start:stop] for f in fields(self)))

    def pick(self, index: Tensor) -> ElementStore:
        """The elements of an int64 ``index``, in its order."""
        return ElementStore(*(getattr(self, f.name)[index] for f in fields(self)))

    def counted(self, usage: Tensor, start: int, stop: int) -> ElementStore:
        """With ``usage`` (N,) of one match added for elements ``start`` to ``stop``, which also grow a match older."""
        use, life = self.use.clone(), self.life.clone()
        use[start:stop] += usage[start:stop]
        life[start:stop] += 1
        return replace(self, use=use, life=life)

    def without_object(self, column: int) -> ElementStore:
        """Without one object's values."""
        kept = [i for i in range(self.value.shape[1]) if i != column]
        return replace(self, value=self.value[:, kept].contiguous())

    @property
    def rate(self) -> Tensor:
        """How much an element is used per match, (N,): what consolidation and eviction go by."""
        return self.use / self.life

    def most_used(self, count: int) -> Tensor:
        """Indices of the ``count`` most used elements, most used first; of equals the older."""
        return torch.sort(self.rate, descending=True, stable=True).indices[:count]

    def without_least_used(self, count: int) -> ElementStore:
        """Exactly ``count`` elements fewer, the others in their order; of equally used ones the oldest leaves.

        Official XMem drops everything not above the count-th usage, so that a tie (many are never matched) evicts far more
        than asked.
        """
        leaving = torch.sort(self.rate, stable=True).indices[:count]
        kept = torch.ones(len(self), dtype=torch.bool, device=self.key.device)
        kept[leaving] = False
        return self.pick(kept.nonzero()[:, 0])

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

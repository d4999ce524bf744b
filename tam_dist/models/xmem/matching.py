"""Reading memory: which elements resemble a pixel, and what they hold (paper sections 3.2 and 3.3).

Memory has N elements, a query Q positions; both are rows: keys are (N, Ck) and (Q, Ck). Everything is float32. The official
code builds a dense (N, Q) affinity, 3 GB at 1080p with a full long-term memory, of which all but ``top_k`` entries a
column are zero. Here the similarity exists for one block of queries at a time and only the entries that count are kept.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Query:
    """Positions that ask: ``key`` (Q, Ck), ``selection`` (Q, Ck) in 0..1."""

    key: Tensor
    selection: Tensor


@dataclass(frozen=True, eq=False)
class Affinity:
    """The memory elements each position draws on: ``index`` int64 (Q, k), ``weight`` (Q, k), each row summing to 1, and
    ``best`` (Q,), the similarity of the best match, 0 for an identical key and negative otherwise.
    """

    index: Tensor
    weight: Tensor
    best: Tensor

    def readout(self, values: Tensor) -> Tensor:
        """The weighted sum of rows of ``values`` (N, D): (Q, D).

        Each row is summed by one thread in the order of ``index``, so the result depends on neither threads nor blocks.
        """
        return F.embedding_bag(self.index, values, per_sample_weights=self.weight, mode="sum")

    def usage(self, elements: int) -> Tensor:
        """How much each of the N ``elements`` was drawn on, summed over positions: (N,).

        ``index_add_`` is sequential on a CPU but uses atomics on CUDA, where ``index_put_`` sorts first: each is used where
        it gives the same bits every time.
        """
        total = self.weight.new_zeros(elements)
        index, weight = self.index.flatten(), self.weight.flatten()
        if total.is_cuda:
            return total.index_put_((index,), weight, accumulate=True)
        return total.index_add_(0, index, weight)


def similarity(key: Tensor, shrinkage: Tensor, query: Query) -> Tensor:
    """(Q, N): minus the squared distance of keys, weighted per channel by the query's selection and per element by its
    shrinkage (N,), over √Ck.

    >>> q = Query(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 1.0]]))
    >>> s = similarity(torch.tensor([[3.0, 2.0], [1.0, 2.0]]), torch.tensor([1.0, 4.0]), q)
    >>> torch.allclose(s, torch.tensor([[-0.5 * 2.0**2 / 2.0**0.5, 0.0]]), atol=1e-6)
    True
    """
    return _query_factors(query) @ _element_factors(key, shrinkage).T


def _element_factors(key: Tensor, shrinkage: Tensor) -> Tensor:
    """(N, 2 Ck + 1): the elements' part of the similarity, which is a plain product once the square is expanded."""
    scale = shrinkage.unsqueeze(1) / -math.sqrt(key.shape[1])
    return torch.cat([key.square() * scale, key * scale, scale], 1)


def _query_factors(query: Query) -> Tensor:
    """(Q, 2 Ck + 1)"""
    selected = query.selection * query.key
    return torch.cat([query.selection, -2 * selected, (selected * query.key).sum(1, keepdim=True)], 1)


class Reading:
    """One read of memory, in blocks of positions that several threads may take turns at: each block is one thread's, and
    which thread's changes nothing.

    ``key`` (N, Ck) and ``shrinkage`` (N,) are those of memory, ``block`` the positions of ``query`` that are matched at once.
    """

    def __init__(self, key: Tensor, shrinkage: Tensor, query: Query, *, top_k: int, block: int) -> None:
        self._read = key, shrinkage
        self._elements, self._queries = _element_factors(key, shrinkage).T, _query_factors(query)
        self._count, self._block = min(top_k, len(key)), block
        self._starts = range(0, len(query.key), block)
        self._taken = 0
        self._found: dict[int, tuple[Tensor, Tensor]] = {}  # by a block's first position: (index, similarity), best first
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def is_of(self, key: Tensor, shrinkage: Tensor) -> bool:
        """Whether these very tensors are being read."""
        return self._read[0] is key and self._read[1] is shrinkage

    def work(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Match blocks that nobody has taken, until there is none left or it is no longer ``wanted``."""
        scores = None  # one for all blocks: fresh pages cost more than the product
        while wanted() and (start := self._take()) is not None:
            try:
                rows = self._queries[start : start + self._block]
                if scores is None:
                    scores = rows.new_empty(len(rows), self._elements.shape[1])
                top, index = torch.mm(rows, self._elements, out=scores[: len(rows)]).topk(self._count, dim=1)
            except BaseException as error:
                self._note(start, error)
                raise
            self._note(start, (index, top))

    def result(self) -> Affinity:
        """Each position's ``top_k`` most similar elements (all, where there are fewer) and the softmax over them.

        Takes part in what is left, then waits for what others have taken. The softmax subtracts the maximum; official XMem does
        not and gives NaN where even the best similarity is under about -87.
        """
        self.work()
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or len(self._found) == len(self._starts))
        if self._failure is not None:
            raise self._failure
        index, top = (torch.cat(parts) for parts in zip(*(self._found[start] for start in self._starts), strict=True))
        return Affinity(index, torch.softmax(top, dim=1), top[:, 0])

    def _take(self) -> int | None:
        with self._changed:
            if self._failure is not None or self._taken == len(self._starts):
                return None
            self._taken += 1
            return self._starts[self._taken - 1]

    def _note(self, start: int, outcome: tuple[Tensor, Tensor] | BaseException) -> None:
        with self._changed:
            if isinstance(outcome, BaseException):
                self._failure = outcome
            else:
                self._found[start] = outcome
            self._changed.notify_all()


def full_affinity(key: Tensor, shrinkage: Tensor, query: Query) -> Tensor:
    """Dense (Q, N) softmax over all elements, for the few queries of a consolidation."""
    return torch.softmax(similarity(key, shrinkage, query), dim=1)

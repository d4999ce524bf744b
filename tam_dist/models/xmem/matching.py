"""Reading memory: which elements resemble a pixel, and what they hold (paper sections 3.2 and 3.3).

Memory has N elements, a query Q positions; both are rows: keys are (N, Ck) and (Q, Ck). Everything is float32. The official
code builds a dense (N, Q) affinity, 3 GB at 1080p with a full long-term memory, of which all but ``top_k`` entries a
column are zero. Here the similarity exists for one block of queries at a time and only the entries that count are kept.
"""

from __future__ import annotations

import math
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


def match(key: Tensor, shrinkage: Tensor, query: Query, *, top_k: int, block: int) -> Affinity:
    """Each position's ``top_k`` most similar elements (all, where there are fewer) and the softmax over them.

    The softmax subtracts the maximum; official XMem does not and gives NaN where even the best similarity is under about -87.
    """
    positions, count = len(query.key), min(top_k, len(key))
    elements, queries = _element_factors(key, shrinkage).T, _query_factors(query)
    scores = key.new_empty(min(block, positions), len(key))  # one for all blocks: fresh pages cost more than the product
    indices, weights, best = [], [], []
    for start in range(0, positions, block):
        rows = queries[start : start + block]
        top, index = torch.mm(rows, elements, out=scores[: len(rows)]).topk(count, dim=1)
        indices.append(index)
        weights.append(torch.softmax(top, dim=1))
        best.append(top[:, 0])
    return Affinity(torch.cat(indices), torch.cat(weights), torch.cat(best))


def full_affinity(key: Tensor, shrinkage: Tensor, query: Query) -> Tensor:
    """Dense (Q, N) softmax over all elements, for the few queries of a consolidation."""
    return torch.softmax(similarity(key, shrinkage, query), dim=1)

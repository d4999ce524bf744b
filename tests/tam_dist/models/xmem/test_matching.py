"""Sparse, blocked matching against the dense formula."""

from __future__ import annotations

import math
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tam_dist.models.xmem.matching import Affinity, Query, Reading, full_affinity, similarity
from tam_dist.models.xmem.memory import as_rows
from tests.tam_dist.models.xmem.conftest import Golden


@pytest.fixture(scope="module")
def units(golden: Golden) -> dict[str, Tensor]:
    return {key: torch.from_numpy(array) for key, array in golden.load("case4_units").items()}


def stored(units: dict[str, Tensor], name: str) -> Tensor:
    """Rows of the two remembered frames."""
    return torch.cat([as_rows(units[f"{name}_{i}"][0]) for i in range(2)])


def match(key: Tensor, shrinkage: Tensor, query: Query, *, top_k: int, block: int) -> Affinity:
    return Reading(key, shrinkage, query, top_k=top_k, block=block).result()


def dense(affinity: Affinity, elements: int) -> Tensor:
    """(Q, N)"""
    return torch.zeros(len(affinity.index), elements).scatter_(1, affinity.index, affinity.weight)


def test_golden_units(units: dict[str, Tensor]) -> None:
    key, shrinkage = stored(units, "key"), stored(units, "shrinkage")[:, 0]
    query = Query(as_rows(units["key_2"][0]), as_rows(units["selection_2"][0]))
    close(similarity(key, shrinkage, query), units["similarity"][0].T)
    close(similarity(key, torch.ones_like(shrinkage), query), units["similarity_no_shrinkage"][0].T)
    close(full_affinity(key, shrinkage, query), units["affinity_full"][0].T)
    found = match(key, shrinkage, query, top_k=30, block=7)
    close(dense(found, len(key)), units["affinity_top30"][0].T)
    close(found.usage(len(key)), units["usage_top30"][0])
    values = torch.cat([units[f"value_3obj_{i}"][0].permute(2, 3, 0, 1).flatten(0, 1) for i in range(2)])
    expected = units["readout"][0].permute(2, 3, 0, 1)
    close(found.readout(values.flatten(1)).view(expected.shape), expected)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor, Query, Tensor]:
    """(key, shrinkage, query, values) of random sizes and scales."""
    elements, positions = draw(st.integers(1, 60)), draw(st.integers(1, 40))
    channels, width = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    scale = draw(st.sampled_from([0.1, 1.0, 30.0]))  # 30: similarities at which exp() underflows without the maximum
    query = Query(scale * normal(positions, channels), torch.sigmoid(normal(positions, channels)))
    return scale * normal(elements, channels), 1 + normal(elements).square(), query, normal(elements, width)


@settings(deadline=None, max_examples=30)
@given(problems(), st.integers(1, 40))
def test_similarity_is_the_weighted_distance(problem: tuple[Tensor, Tensor, Query, Tensor], channels: int) -> None:
    key, shrinkage, query, _ = problem
    difference = key.double()[None] - query.key.double()[:, None]
    expected = -(difference.square() * query.selection[:, None]).sum(2) * shrinkage / math.sqrt(key.shape[1])
    torch.testing.assert_close(similarity(key, shrinkage, query).double(), expected, rtol=1e-3, atol=1e-3 * scale_of(expected))


def scale_of(x: Tensor) -> float:
    return max(1.0, x.abs().max().item() * 1e-2)


@settings(deadline=None, max_examples=30)
@given(problems(), st.integers(1, 40), st.integers(1, 50))
def test_readout_and_usage_are_those_of_the_dense_formula(
    problem: tuple[Tensor, Tensor, Query, Tensor], top_k: int, block: int
) -> None:
    key, shrinkage, query, values = problem
    found = match(key, shrinkage, query, top_k=top_k, block=block)
    scores = similarity(key, shrinkage, query)
    kept = scores >= scores.sort(1, descending=True).values[:, min(top_k, len(key)) - 1 :][:, :1]
    affinity = torch.softmax(scores.masked_fill(~kept, -math.inf), 1)
    assert not found.weight.isnan().any()
    torch.testing.assert_close(found.weight.sum(1), torch.ones(len(query.key)))
    torch.testing.assert_close(found.best, scores.amax(1), rtol=1e-4, atol=1e-3)
    if (kept.sum(1) == min(top_k, len(key))).all():  # no tie at the border, which may be settled either way
        torch.testing.assert_close(found.readout(values), affinity @ values, rtol=1e-3, atol=1e-2)
        torch.testing.assert_close(found.usage(len(key)), affinity.sum(0), rtol=1e-3, atol=1e-2)


@settings(deadline=None, max_examples=30)
@given(problems(), st.integers(1, 50))
def test_blocks_do_not_matter(problem: tuple[Tensor, Tensor, Query, Tensor], block: int) -> None:
    key, shrinkage, query, values = problem
    whole = match(key, shrinkage, query, top_k=len(key), block=len(query.key))
    parts = match(key, shrinkage, query, top_k=len(key), block=block)
    torch.testing.assert_close(parts.readout(values), whole.readout(values), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(parts.usage(len(key)), whole.usage(len(key)), rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=20)
@given(problems(), st.integers(1, 10), st.integers(0, 40))
def test_blocks_that_another_thread_has_read_change_no_bit(
    problem: tuple[Tensor, Tensor, Query, Tensor], block: int, blocks: int
) -> None:
    key, shrinkage, query, _ = problem
    reading, left = Reading(key, shrinkage, query, top_k=5, block=block), iter(range(blocks))
    other = threading.Thread(target=reading.work, args=(lambda: next(left, None) is not None,))
    other.start()
    found = reading.result()  # takes part while the other is at it
    other.join()
    alone = match(key, shrinkage, query, top_k=5, block=block)
    assert torch.equal(found.index, alone.index)
    assert torch.equal(found.weight, alone.weight)
    assert torch.equal(found.best, alone.best)


def test_what_fails_in_another_thread_is_told_to_who_waits() -> None:
    generator = torch.Generator().manual_seed(0)
    key = torch.randn(6, 4, generator=generator)
    wrong = Query(torch.randn(5, 3, generator=generator), torch.ones(5, 3))  # of another width
    reading = Reading(key, torch.ones(6), wrong, top_k=2, block=2)
    with pytest.raises(RuntimeError, match="shapes"):
        reading.work()
    with pytest.raises(RuntimeError, match="shapes"):
        reading.result()


def test_sums_have_the_same_bits_with_any_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(3)
    index = torch.randint(0, 500, (4000, 30), generator=generator)
    weight = torch.softmax(torch.randn(4000, 30, generator=generator), 1)
    affinity, values = Affinity(index, weight, weight[:, 0]), torch.randn(500, 97, generator=generator)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append((affinity.readout(values), affinity.usage(500)))
    finally:
        torch.set_num_threads(before)
    for readout, usage in results[1:]:
        assert torch.equal(readout, results[0][0])
        assert torch.equal(usage, results[0][1])


def test_far_away_queries_give_no_nan() -> None:
    """Official XMem's softmax gives 0/0 here."""
    found = match(torch.zeros(3, 2), torch.ones(3), Query(torch.full((1, 2), 1e3), torch.ones(1, 2)), top_k=2, block=8)
    torch.testing.assert_close(found.weight, torch.full((1, 2), 0.5))

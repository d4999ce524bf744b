"""Which tracker states are kept, and that only the right bytes are handed out."""

from __future__ import annotations

import itertools
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.checkpoints import CheckpointStore, thinned
from storage.location import Location

steady = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@steady
@given(steps=st.lists(st.integers(1, 9), min_size=1, max_size=300), keep=st.integers(1, 4))
def test_thinning_after_every_state_keeps_few_and_restarts_near(steps: list[int], keep: int) -> None:
    made: list[int] = []
    kept: list[int] = []
    for step in steps:
        made.append(made[-1] + step if made else step)
        kept = thinned([*kept, made[-1]], keep)
        newest = kept[-1]
        assert kept[0] == made[0]
        assert kept[-keep:] == made[-keep:]
        for before, after in itertools.pairwise(kept):
            neighbours = made.index(after) == made.index(before) + 1
            assert neighbours or after - before <= newest - after
    assert len(kept) <= keep + 3 + 2 * math.log2(made[-1])


def test_a_film_keeps_a_handful() -> None:
    assert len(thinned(range(3, 10_800, 4), 2)) < 20


def test_only_the_state_that_the_digest_names(project: Location) -> None:
    store = CheckpointStore(project, keep=2)
    assert store.chunks() == []
    digest = store.write(42, b"state")
    assert (project / "checkpoints").children() == ["00000042.safetensors"]
    assert store.read(42, digest) == b"state"
    assert store.read(41, digest) is None
    (project / "checkpoints" / "00000042.safetensors").write(b"sta")
    assert store.read(42, digest) is None
    store.remove(42)
    assert store.chunks() == []


def test_thin_removes_what_is_not_kept(project: Location) -> None:
    store = CheckpointStore(project, keep=1)
    for chunk in range(20):
        store.write(chunk, b"")
        store.thin()
    assert store.chunks()[0] == 0
    assert store.chunks()[-1] == 19
    assert len(store.chunks()) < 10

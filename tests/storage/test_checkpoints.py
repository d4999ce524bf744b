"""Which tracker states are kept, and that only the right bytes are handed out."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.checkpoints import CheckpointStore, thinned
from storage.location import Location

steady = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def regular(count: int, every: int) -> list[int]:
    """The chunks of a film after which states are made."""
    return [every * number - 1 for number in range(1, count + 1)]


@steady
@given(count=st.integers(1, 300), every=st.integers(1, 9), keep=st.integers(2, 4))
def test_few_are_kept_and_restarts_are_near(count: int, every: int, keep: int) -> None:
    kept = [(chunk + 1) // every for chunk in thinned(regular(count, every), every=every, keep=keep)]
    assert kept[-keep:] == list(range(max(1, count - keep + 1), count + 1))
    for number in range(1, count + 1):
        start = max((k for k in kept if k <= number), default=0)
        assert number - start <= 2 * (count - number)
    assert len(kept) <= (keep / 2 + 1) * (math.log2(count) + 1)


@steady
@given(data=st.data(), count=st.integers(1, 60), every=st.integers(2, 5), keep=st.integers(1, 3), room=st.integers(0, 12))
def test_what_is_kept_does_not_depend_on_when_it_was_thinned(
    data: st.DataObject, count: int, every: int, keep: int, room: int
) -> None:
    """Also not on where the run was stopped, or killed before it could thin."""
    stops = data.draw(st.sets(st.integers(0, count * every - 1)))
    thins = data.draw(st.sets(st.integers(0, count * every - 1)))
    found: list[int] = []
    for chunk in range(count * every):
        if chunk in stops or (chunk + 1) % every == 0:
            found.append(chunk)
        if chunk in thins:
            found = thinned(found, every=every, keep=keep, room=room)
    always = thinned(regular(count, every), every=every, keep=keep, room=room)
    assert thinned(found, every=every, keep=keep, room=room, done=True) == always


@steady
@given(count=st.integers(1, 300), keep=st.integers(1, 3), room=st.integers(1, 40))
def test_where_there_is_room_no_way_back_is_long(count: int, keep: int, room: int) -> None:
    kept = [chunk + 1 for chunk in thinned(regular(count, 1), every=1, keep=keep, room=room)]
    few = [chunk + 1 for chunk in thinned(regular(count, 1), every=1, keep=keep)]
    assert len(kept) <= len(few) + room
    gap = max(b - a for a, b in zip([0, *kept], kept, strict=False))
    assert gap <= max(2 * -(-count // (room + 1)), 1)


def test_the_state_where_a_run_was_stopped_stays_until_the_next() -> None:
    assert thinned([3, 7, 9], every=4, keep=2) == [3, 7, 9]
    assert thinned([3, 7, 9, 11], every=4, keep=2) == [3, 7, 11]


def test_a_film_keeps_a_handful() -> None:
    assert len(thinned(regular(2_700, 4), every=4, keep=2)) < 25


def test_only_the_state_that_the_digest_names(project: Location) -> None:
    store = CheckpointStore(project, every=1, keep=2)
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
    store = CheckpointStore(project, every=1, keep=1)
    for chunk in range(20):
        store.write(chunk, b"")
        store.thin()
    assert store.chunks() == [15, 17, 18, 19]


def test_what_is_for_corrections_alone_has_a_budget(project: Location) -> None:
    store = CheckpointStore(project, every=1, keep=1, budget=450)
    for chunk in range(20):
        store.write(chunk, bytes(100))
        store.thin()
    assert store.chunks() == [7, 15, 17, 18, 19]


def test_a_budget_leaves_what_is_missed_most(project: Location) -> None:
    store = CheckpointStore(project, every=1, keep=99)
    for chunk in (3, 7, 11, 13, 14):
        store.write(chunk, bytes(100))
    assert store.shrink(500) == 0
    assert store.shrink(350) == 200
    assert store.chunks() == [3, 7, 11]
    assert store.shrink(0) == 300
    assert store.chunks() == []

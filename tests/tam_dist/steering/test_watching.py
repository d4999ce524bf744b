"""Clients hear of everything that changes, in whichever process, and go on where they were."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest

import tam_dist
from tam_dist.steering import Asked, Change, ChunkTracked, StateChanged, watch, watching
from tests.tam_dist.steering.conftest import Revise
from tests.tiny import square


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_REMOTE_POLL", 0.0)


def rest(where: str, since: int = 0) -> list[Change]:
    """All that a client hears who goes on behind ``since``, up to the state."""
    found: list[Change] = []
    for change in watch(where, since=since, poll=0.01):
        found.append(change)
        if isinstance(change, StateChanged):
            return found
    raise AssertionError


def test_what_happens_is_told(project: str, revise: Revise) -> None:
    changes = watch(project, poll=0.01)
    first = list(itertools.islice(changes, 9))
    assert [(c.first, c.last, c.revision) for c in first if isinstance(c, ChunkTracked)] == [
        (i, min(i + 7, 43), 1) for i in range(0, 44, 8)
    ]
    assert [c.asked for c in first if isinstance(c, Asked)] == ["mask for 'cat' on frame 0", "mask for 'dog' on frame 0"]
    assert isinstance(first[-1], StateChanged)
    assert (first[-1].state, first[-1].frames_done, first[-1].stale) == ("done", 44, ())
    tam_dist.correct(project, [tam_dist.click("cat", 5, 6, frame=20)])
    asked, state = next(changes), next(changes)
    assert isinstance(asked, Asked)
    assert isinstance(state, StateChanged)
    assert asked.asked == "clicks for 'cat' on frame 20"
    assert state.stale[0][0] == 16  # nothing before its chunk
    revise(3)
    again = next(c for c in changes if isinstance(c, ChunkTracked))
    assert (again.chunk, again.revision) == (3, 2)


def test_a_client_goes_on_where_it_was(project: str, revise: Revise, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_OVERLAP", 0)
    seen = max(change.number for change in rest(project) if not isinstance(change, StateChanged))
    assert [c for c in rest(project, seen) if not isinstance(c, StateChanged)] == []
    tam_dist.rename_object(project, "cat", "tom")
    revise(1)
    found = rest(project, seen)
    assert [c.asked for c in found if isinstance(c, Asked)] == ["'cat' is called 'tom'"]
    assert [(c.chunk, c.revision) for c in found if isinstance(c, ChunkTracked)] == [(1, 2)]


def test_what_was_on_its_way_when_a_client_left_is_told_again(project: str) -> None:
    last = max(change.number for change in rest(project))
    tam_dist.correct(project, [tam_dist.click("cat", 5, 6, frame=20)])
    assert any(isinstance(c, Asked) and "frame 20" in c.asked for c in rest(project, last + 2_000_000))


def test_several_clients_hear_of_a_run(tmp_path: Path, tiny_video: Path, tiny_settings: tuple[str, ...]) -> None:
    out = tmp_path / "p"
    first = tam_dist.track(tiny_video, [tam_dist.mask("cat", square(4, 10))], out=out, settings=tiny_settings)
    tam_dist.correct(out, [tam_dist.mask("cat", square(30, 20), frame=33)])
    heard: list[list[Change]] = [[], []]
    stop = threading.Event()

    def listen(into: list[Change]) -> None:
        for change in watch(out, since=int(time.time() * 1e6), poll=0.02, stop=stop):
            into.append(change)
            if isinstance(change, StateChanged) and change.state == "done" and not change.stale:
                return

    clients = [threading.Thread(target=listen, args=(into,)) for into in heard]
    for client in clients:
        client.start()
    tam_dist.resume(first.location)
    for client in clients:
        client.join(60)
    stop.set()
    assert not any(client.is_alive() for client in clients), "not told that all is done"
    for changes in heard:
        assert {c.chunk for c in changes if isinstance(c, ChunkTracked) and c.revision > 1} >= {4}
        assert isinstance(changes[-1], StateChanged)


def test_history_says_what_became_of_it(tmp_path: Path, tiny_video: Path, tiny_settings: tuple[str, ...]) -> None:
    out = tmp_path / "p"
    tam_dist.track(tiny_video, [tam_dist.mask("cat", square(4, 10))], out=out, settings=tiny_settings)
    before = tam_dist.Project.open(out).labels[:].copy()
    tam_dist.correct(out, [tam_dist.mask("cat", square(30, 20), frame=33)])
    after = tam_dist.resume(out).labels[:].copy()
    tam_dist.rename_object(out, "cat", "tom")
    tam_dist.lock(out, 3, author="bob")
    tam_dist.undo(out, author="ann")
    first, correction, rename, lock, undo = tam_dist.history(out)
    assert (first.asked, first.chunks, first.in_force) == ("mask for 'tom' on frame 0", (), True)
    assert correction.asked == "mask for 'tom' on frame 33"
    assert set(correction.chunks) >= {4}
    assert min(correction.chunks) >= 4
    assert correction.frames == sum(8 if chunk < 5 else 4 for chunk in correction.chunks)
    assert correction.share == pytest.approx((before != after).sum() / after[: correction.frames].size)
    assert 0 < correction.share < 1
    assert rename.asked == "'cat' is called 'tom'"
    assert (lock.asked, lock.author, lock.in_force) == ("frame 3 is locked for 'tom'", "bob", False)
    assert (undo.asked, undo.author, undo.in_force) == ("undo: frame 3 is locked for 'tom'", "ann", True)

"""Videos are handed out as they become ready, and what is wrong with one is told."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from tam_dist.coordination.video import VideoJob
from tam_dist.corpus.lines import CorpusLine
from tam_dist.corpus.preparing import Found, Preparation
from tam_dist.errors import VideoError


def make_job(name: str) -> VideoJob:
    return VideoJob(name, f"/films/{name}", "pyav", cast(Any, None))


def lines(names: str) -> dict[str, CorpusLine]:
    return {name: CorpusLine(number, f"/films/{name}", name, ()) for number, name in enumerate(names)}


def test_what_is_ready_comes_before_what_is_not() -> None:
    told: dict[str, Any] = {}
    go_on = threading.Event()

    def look(name: str, line: CorpusLine) -> VideoJob:
        if name == "b":
            raise VideoError("no such film")
        assert name == "a" or go_on.wait(60)
        return make_job(name)

    with Preparation(lines("abc"), look, told.__setitem__, threading.Event()) as preparation:
        first = list(preparation.take(None))
        while preparation.expected > 1:
            first += preparation.take(0.01)
        assert [job.project for job in first] == ["a"]
        assert isinstance(told["b"], VideoError)
        assert preparation.take(0.0) == []
        go_on.set()
        assert [job.project for job in preparation.take(None)] == ["c"]
        assert preparation.expected == 0
        assert preparation.take(None) == []
    assert sorted(told) == ["a", "b", "c"]


def test_once_stopped_nothing_more_comes() -> None:
    stop, told, held = threading.Event(), list[tuple[str, Found]](), threading.Event()

    def look(name: str, line: CorpusLine) -> VideoJob:
        assert held.wait(60)
        return make_job(name)

    with Preparation(lines("abcdefgh"), look, lambda *found: told.append(found), stop) as preparation:
        stop.set()
        assert preparation.expected == 0
        assert preparation.take(None) == []
        held.set()
    assert told == []


def test_what_is_no_error_of_a_video_ends_the_run() -> None:
    def look(name: str, line: CorpusLine) -> VideoJob:
        raise SystemExit

    with Preparation(lines("a"), look, lambda *_: None, threading.Event()) as preparation, pytest.raises(SystemExit):
        preparation.take(None)

"""Names of projects: unique, readable, and the same whatever else is in the corpus and in which order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tam_dist.corpus.lines import RESERVED, BrokenLine, CorpusLine, Line
from tam_dist.corpus.names import name_projects


def line(number: int, path: str, name: str | None = None) -> CorpusLine:
    return CorpusLine(number, f"/films/{path}", path, (), name)


def names(*lines: Line, owner: dict[str, str] | None = None) -> dict[str, str]:
    """Video by project's name."""
    return {name: found.written for name, found in name_projects(lines, (owner or {}).get)[0].items()}


def test_a_file_gives_its_name() -> None:
    assert names(line(1, "a.mp4"), line(2, "x/My film.final.mkv")) == {"a": "a.mp4", "My film.final": "x/My film.final.mkv"}


def test_files_of_one_name_get_a_hash_each() -> None:
    found = names(line(1, "x/a.mp4"), line(2, "y/a.mp4"), line(3, "b.mp4"))
    assert len(found) == 3
    assert "b" in found
    assert all(name.startswith("a-") for name in found if name != "b")
    assert len(names(line(1, "A.mp4"), line(2, "a.mp4"))) == 2  # one folder on some file systems
    assert len({name.casefold() for name in names(line(1, "A.mp4"), line(2, "a.mp4"))}) == 2


def test_a_project_that_is_there_keeps_its_name_when_others_come() -> None:
    (before,) = names(line(1, "x/a.mp4"))
    found = names(line(1, "y/a.mp4"), line(2, "x/a.mp4"), owner={before: "/films/x/a.mp4"})
    assert found["a"] == "x/a.mp4"
    assert len(found) == 2


def test_part_of_a_corpus_finds_the_projects_that_all_of_it_made() -> None:
    whole = names(line(1, "x/a.mp4"), line(2, "y/a.mp4"), line(3, "b.mp4"))
    owner = {name: f"/films/{path}" for name, path in whole.items()}
    for number, path in enumerate(whole.values()):
        assert {path: name for name, path in names(line(number, path), owner=owner).items()}.items() <= {
            (path, name) for name, path in whole.items()
        }


def test_a_long_name_is_shortened_to_what_file_systems_take() -> None:
    (name,) = names(line(1, "é" * 120 + ".mp4"))
    assert name == "é" * 100
    assert len({*names(line(1, "é" * 120 + "a.mp4"), line(2, "é" * 120 + "b.mp4"))}) == 2


def test_a_given_name_wins() -> None:
    found = names(line(1, "a.mp4"), line(2, "b.mp4", "a"))
    assert found["a"] == "b.mp4"
    assert len(found) == 2


def test_a_video_asked_for_twice_needs_a_name() -> None:
    named, broken = name_projects(
        [line(1, "a.mp4"), BrokenLine(2, "x", "y"), line(3, "a.mp4"), line(4, "a.mp4", "other")], {}.get
    )
    assert sorted(named) == ["a", "other"]
    assert [(b.number, b.reason.count('give one of the lines a "name"')) for b in broken] == [(2, 0), (3, 1)]
    _, broken = name_projects([line(1, "a.mp4", "x"), line(2, "b.mp4", "X")], {}.get)
    assert [b.number for b in broken] == [2]


PATHS = st.lists(
    st.sampled_from([f"{d}{f}" for d in ("", "x/", "y/") for f in ("a.mp4", "A.mov", "b.mp4", "run.json", "?.mp4", ".mp4")])
)


@given(PATHS, st.randoms(use_true_random=False))
def test_names_depend_on_no_order(paths: list[str], dice: random.Random) -> None:
    lines = [line(n, path) for n, path in enumerate(dict.fromkeys(paths))]
    found = names(*lines)
    assert len({name.casefold() for name in found}) == len(found) == len(lines)
    assert not RESERVED & found.keys()
    assert not any(name.startswith(".") or "/" in name for name in found)
    dice.shuffle(lines)
    assert names(*lines) == found

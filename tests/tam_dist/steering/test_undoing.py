"""Undo and redo as in an editor, over a log that several people append to."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tam_dist
from storage.location import Location
from storage.project_store import ProjectStore
from storage.prompt_log import LogEntry, PromptLog, Rename, Retrack, Undo
from tam_dist.errors import PromptError
from tam_dist.steering.undoing import stacks_of
from tam_dist.types import Absent, Prompt


def in_force(store: ProjectStore) -> list[str]:
    undoable = (e for e in store.entries() if isinstance(e, Prompt | Rename | Retrack))
    return [e.uuid for e in undoable if e.undone_by is None][2:]  # but for the prompts that the project was made with


def test_actions_are_taken_back_and_put_in_force_again_as_a_whole(project: str, store: ProjectStore) -> None:
    two = tam_dist.correct(project, [tam_dist.click("cat", 5, 6), tam_dist.click("dog", 5, 6)])
    one = tam_dist.rename_object(project, "cat", "tom")
    assert in_force(store) == [*two.entries, *one.entries]
    tam_dist.undo(project)
    assert tam_dist.Project.open(project).objects[0].name == "cat"
    assert in_force(store) == [*two.entries]
    tam_dist.undo(project, author="bob")
    assert in_force(store) == []
    with pytest.raises(PromptError, match="nothing to undo"):
        tam_dist.undo(project)
    tam_dist.redo(project)
    assert in_force(store) == [*two.entries]
    tam_dist.redo(project)
    assert in_force(store) == [*two.entries, *one.entries]
    with pytest.raises(PromptError, match="nothing to redo"):
        tam_dist.redo(project)
    tam_dist.undo(project)
    tam_dist.retrack(project, 0, 7)
    with pytest.raises(PromptError, match="nothing to redo"):
        tam_dist.redo(project)


def test_unlocking_can_be_undone_by_redo(project: str, store: ProjectStore) -> None:
    locked = tam_dist.lock(project, 20)
    tam_dist.unlock(project, 20, objects=["cat"])
    assert len(in_force(store)) == 1
    tam_dist.redo(project)
    assert sorted(in_force(store)) == sorted(locked.entries)


def test_what_was_replaced_comes_back(project: str, store: ProjectStore) -> None:
    first = [p.uuid for p in store.prompts() if p.object_name == "cat"]
    one = tam_dist.correct(project, [tam_dist.click("cat", 5, 6, frame=9)])
    mask, click = one.entries
    between = tam_dist.rename_object(project, "cat", "tom").entries
    two, three = (tam_dist.correct(project, [tam_dist.click("tom", x, x, frame=9)], replace_given=True) for x in (8, 9))
    assert in_force(store) == [mask, *between, three.entries[0]]  # of the same mask, which was looked at
    assert tam_dist.history(project)[-1].asked == "clicks for 'tom' on frame 9 instead of those before"
    tam_dist.undo(project)
    assert in_force(store) == [mask, *between, two.entries[0]]
    tam_dist.undo(project)
    assert in_force(store) == [mask, click, *between]
    assert tam_dist.history(project)[-1].asked == "undo: clicks for 'tom' on frame 9"
    tam_dist.redo(project)
    tam_dist.redo(project)
    assert in_force(store) == [mask, *between, three.entries[0]]
    anew = tam_dist.correct(project, [tam_dist.click("tom", 9, 9)], replace_given=True)  # what the project was made with
    assert not set(first) & {p.uuid for p in store.prompts() if p.undone_by is None}
    with pytest.raises(PromptError, match="show 'cat' on frame 0 any more"):
        tam_dist.correct(project, [tam_dist.click("tom", 9, 9, positive=False)], replace_given=True)
    for _ in range(5):
        tam_dist.undo(project)
        assert set(first) <= {p.uuid for p in store.prompts() if p.undone_by is None}
    with pytest.raises(PromptError, match="nothing to undo"):
        tam_dist.undo(project)
    for _ in range(5):
        tam_dist.redo(project)
    given = {e.uuid for e in store.entries() if isinstance(e, Prompt) and e.undone_by is None and e.purpose == "correction"}
    assert given == {mask, three.entries[0], anew.entries[0]}


ACTIONS = st.sampled_from(["correct", "two", "replace", "undo", "redo"])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(ACTIONS, st.booleans()), max_size=25))
def test_two_people_share_one_stack_whatever_they_do_at_the_same_moment(
    steps: list[tuple[str, bool]],
) -> None:
    """``late``: they decided on it before they saw the step before. The log has one meaning, in which nothing is lost: the
    stack holds what is in force, and can be undone to nothing and redone to what it was.
    """
    log = PromptLog(Location.parse("memory://stack") / str(next(_NUMBERS)))
    seen: tuple[LogEntry, ...] = ()
    for step, late in steps:
        known = seen if late else log.entries()
        seen = log.entries()
        log.append(_entries(step, known))
    _consistent(log)
    before = stacks_of(log.entries()).done
    steps_back = 0
    while back := _entries("undo", log.entries()):
        log.append(back)
        steps_back += 1
        _consistent(log)
    for _ in range(steps_back):
        log.append(_entries("redo", log.entries()))
        _consistent(log)
    # An undo that was late by a replacement may bring back what that one replaced; redoing replaces it again.
    assert stacks_of(log.entries()).done == before or "replace" in dict(steps)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(ACTIONS, max_size=25))
def test_undo_goes_through_what_was_in_force_and_redo_back(steps: list[str]) -> None:
    log = PromptLog(Location.parse("memory://states") / str(next(_NUMBERS)))
    states, now = [set[str]()], 0
    for step in steps:
        log.append(_entries(step, log.entries()))
        _consistent(log)
        if step == "undo":
            now = max(0, now - 1)
        elif step == "redo":
            now = min(len(states) - 1, now + 1)
        else:
            states[now + 1 :] = [_in_force(log)]
            now += 1
        assert _in_force(log) == states[now]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["correct", "two", "undo", "redo"]), max_size=25))
def test_one_person_after_the_other_has_what_an_editor_does(steps: list[str]) -> None:
    log = PromptLog(Location.parse("memory://editor") / str(next(_NUMBERS)))
    done: list[int] = []
    undone: list[int] = []
    for number, step in enumerate(steps):
        entries = _entries(step, log.entries())
        log.append(entries)
        if step == "undo":
            assert bool(entries) == bool(done)
            if done:
                undone.append(done.pop())
        elif step == "redo":
            assert bool(entries) == bool(undone)
            if undone:
                done.append(undone.pop())
        else:
            done.append(number)
            undone.clear()
        stacks = stacks_of(log.entries())
        assert (len(stacks.done), len(stacks.undone)) == (len(done), len(undone))


def test_a_log_whose_undo_came_before_what_it_takes_back() -> None:
    """As in an object store, where clocks order the entries."""
    log = PromptLog(Location.parse("memory://early") / str(next(_NUMBERS)))
    log.append([Undo("u", 0.0, "bob", "a"), Prompt("a", 1.0, "ann", 0, "cat", Absent(0, 0), purpose="correction")])
    _consistent(log)
    assert stacks_of(log.entries()).done == []


_NUMBERS = itertools.count()


def _entries(step: str, known: tuple[LogEntry, ...]) -> list[LogEntry]:
    stacks = stacks_of(known)
    name = f"n{next(_NUMBERS)}"
    if step == "undo":
        return [replace(each, group=name) for each in stacks.undoing("ann")]
    if step == "redo":
        return [replace(each, group=name) for each in stacks.redoing("ann")]
    many = 1 + (step == "two")
    old = stacks.done[len(stacks.done) // 2] if step == "replace" and stacks.done else []
    new: list[LogEntry] = [
        Prompt(f"{name}{i}", 0.0, "ann", 0, "cat", Absent(0, 0), None, "correction", name) for i in range(many)
    ]
    return [*new, *(Undo(f"{name}-{target}", 0.0, "ann", target, name) for target in old)]


def _consistent(log: PromptLog) -> None:
    entries = log.entries()
    stacks = stacks_of(entries)
    wanted = sorted(_in_force(log))
    assert sorted(u for action in stacks.done for u in action) == wanted
    assert not {u for action in stacks.undone for u in action} & set(wanted)


def _in_force(log: PromptLog) -> set[str]:
    return {e.uuid for e in log.entries() if isinstance(e, Prompt) and e.undone_by is None}

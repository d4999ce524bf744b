"""Undo and redo, of whatever anybody did last, as in an editor: something new ends what could be redone.

Both only append, so nothing is lost, and what two people do at the same moment has one outcome: that of the log's order.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from storage.prompt_log import LogEntry, Redo, Undo
from tam_dist.errors import PromptError
from tam_dist.prompts import login
from tam_dist.steering.asking import Acknowledged, Asking, Where
from tam_dist.types import Prompt


def undo(where: Where, *, author: str | None = None) -> Acknowledged:
    """Take back the last action in force, whoever's it was. Raises :class:`PromptError` where there is none: the prompts that
    the project was made with are not undone; :class:`ProjectError`, :class:`StorageError`.
    """
    asking = Asking(where)
    steps = stacks_of(asking.entries).undoing(author or login())
    if not steps:
        raise PromptError(f"There is nothing to undo in {asking.where}.")
    return asking.append(steps)


def redo(where: Where, *, author: str | None = None) -> Acknowledged:
    """Put the action that was undone last in force again. Raises :class:`PromptError` where nothing was undone, or something
    else was done since; :class:`ProjectError`, :class:`StorageError`.
    """
    asking = Asking(where)
    steps = stacks_of(asking.entries).redoing(author or login())
    if not steps:
        raise PromptError(f"There is nothing to redo in {asking.where}.")
    return asking.append(steps)


@dataclass(frozen=True)
class Stacks:
    """Actions as uuids of their entries: those in force that can be ``undone`` and those that can be put in force again, the
    next one last. ``replaced``: what an entry took the place of, which comes back when that one is undone.
    """

    done: list[list[str]] = field(default_factory=list)
    undone: list[list[str]] = field(default_factory=list)
    replaced: dict[str, list[str]] = field(default_factory=dict)

    def undoing(self, author: str) -> list[Undo | Redo]:
        """The entries that take back the last action; none where there is none."""
        targets = self.done[-1] if self.done else []
        return [*_each(Undo, targets, author), *_each(Redo, self._replaced_by(targets), author)]

    def redoing(self, author: str) -> list[Undo | Redo]:
        """The entries that put in force again what was undone last."""
        targets = self.undone[-1] if self.undone else []
        return [*_each(Redo, targets, author), *_each(Undo, self._replaced_by(targets), author)]

    def _replaced_by(self, targets: Iterable[str]) -> list[str]:
        return [old for target in targets for old in self.replaced.get(target, ())]


def stacks_of(entries: Iterable[LogEntry]) -> Stacks:
    """``entries``: the whole log's. ``done`` holds exactly the entries in force, but for the project's first prompts.

    An undo in an action that has put something in force replaces: what it takes back keeps its place in ``done``, from which it
    is left out as long as it is replaced.
    """
    stacks = Stacks()
    groups: dict[str, list[str]] = {}
    given: set[str] = set()
    in_force: set[str] = set()
    first: set[str] = set()
    replaced: set[str] = set()
    early: set[str] = set()  # taken back before they came, by a log that clocks order
    for entry in entries:
        action = entry.group or entry.uuid
        match entry:
            case Undo():
                new = next((each for each in stacks.done if each is groups.get(action)), None)
                if new and entry.target in in_force | first:
                    in_force.discard(entry.target)
                    replaced.add(entry.target)
                    old = stacks.replaced.setdefault(new[0], [])
                    old.extend({entry.target} - set(old))
                elif entry.target in in_force:
                    in_force.discard(entry.target)
                    _take(stacks.done, entry.target)
                    _put(stacks.undone, groups, action, entry.target)
                else:
                    early.add(entry.target)
            case Redo():
                early.discard(entry.target)
                if entry.target in replaced:
                    replaced.discard(entry.target)
                    in_force.update({entry.target} - first)
                elif _take(stacks.undone, entry.target) or entry.target in given - in_force:
                    in_force.add(entry.target)
                    _put(stacks.done, groups, action, entry.target)
            case _ if _is_first(entry):
                first.add(entry.uuid)
            case _:
                given.add(entry.uuid)
                stacks.undone.clear()
                if entry.uuid not in early:
                    in_force.add(entry.uuid)
                    _put(stacks.done, groups, action, entry.uuid)
    left = ([uuid for uuid in each if uuid not in replaced] for each in stacks.done)
    stacks.done[:] = [each for each in left if each]
    return stacks


def _each(kind: type[Undo | Redo], targets: Iterable[str], author: str) -> list[Undo | Redo]:
    return [kind(uuid.uuid4().hex, time.time(), author, target) for target in targets]


def _is_first(entry: LogEntry) -> bool:
    """Whether it is a prompt that the project was made with."""
    return isinstance(entry, Prompt) and entry.purpose == "prompt" and not entry.group


def _take(stack: list[list[str]], target: str) -> bool:
    for action in stack:
        if target in action:
            action.remove(target)
            if not action:
                stack.remove(action)
            return True
    return False


def _put(stack: list[list[str]], groups: dict[str, list[str]], name: str, target: str) -> None:
    """On top, or to the other entries of its action where these are there."""
    action = groups.setdefault(name, [])
    action.append(target)
    if not any(action is each for each in stack):
        stack.append(action)

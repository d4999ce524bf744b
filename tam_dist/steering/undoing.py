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
    done = stacks_of(asking.entries).done
    if not done:
        raise PromptError(f"There is nothing to undo in {asking.where}.")
    now, who = time.time(), author or login()
    return asking.append([Undo(uuid.uuid4().hex, now, who, target) for target in done[-1]])


def redo(where: Where, *, author: str | None = None) -> Acknowledged:
    """Put the action that was undone last in force again. Raises :class:`PromptError` where nothing was undone, or something
    else was done since; :class:`ProjectError`, :class:`StorageError`.
    """
    asking = Asking(where)
    undone = stacks_of(asking.entries).undone
    if not undone:
        raise PromptError(f"There is nothing to redo in {asking.where}.")
    now, who = time.time(), author or login()
    return asking.append([Redo(uuid.uuid4().hex, now, who, target) for target in undone[-1]])


@dataclass(frozen=True)
class Stacks:
    """Actions as uuids of their entries: those in force that can be ``undone`` and those that can be put in force again, the
    next one last.
    """

    done: list[list[str]] = field(default_factory=list)
    undone: list[list[str]] = field(default_factory=list)


def stacks_of(entries: Iterable[LogEntry]) -> Stacks:
    """``entries``: the whole log's. ``done`` holds exactly the entries in force, but for the project's first prompts."""
    stacks = Stacks()
    groups: dict[str, list[str]] = {}
    given: set[str] = set()
    in_force: set[str] = set()
    early: set[str] = set()  # taken back before they came, by a log that clocks order
    for entry in entries:
        action = entry.group or entry.uuid
        match entry:
            case Undo():
                if entry.target in in_force:
                    in_force.discard(entry.target)
                    _take(stacks.done, entry.target)
                    _put(stacks.undone, groups, action, entry.target)
                else:
                    early.add(entry.target)
            case Redo():
                early.discard(entry.target)
                if _take(stacks.undone, entry.target) or entry.target in given - in_force:
                    in_force.add(entry.target)
                    _put(stacks.done, groups, action, entry.target)
            case _ if not _is_first(entry):
                given.add(entry.uuid)
                stacks.undone.clear()
                if entry.uuid not in early:
                    in_force.add(entry.uuid)
                    _put(stacks.done, groups, action, entry.uuid)
    return stacks


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

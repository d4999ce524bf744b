"""The log of a project as sentences: who asked what, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from storage.prompt_log import LogEntry, Redo, Rename, Retrack, Undo
from tam_dist.types import Absent, Prompt

_NOUNS = {"clicks": "clicks", "box": "box", "mask": "painted mask"}
#: Actions shown.
_MOST = 300


@dataclass(frozen=True)
class HistoryView:
    """An action. ``frame`` is where to look at it, None where it has no place."""

    what: str
    author: str
    time: float
    frame: int | None
    in_force: bool


def history_view(entries: Sequence[LogEntry]) -> list[HistoryView]:
    """What was taken back and put in force again shows at the action itself, not as one more."""
    groups: dict[str, list[LogEntry]] = {}
    for entry in entries:
        if not isinstance(entry, Undo | Redo):
            groups.setdefault(entry.group or entry.uuid, []).append(entry)
    found = [_view(group) for group in groups.values()]
    return found[::-1][:_MOST]


def _view(group: Sequence[LogEntry]) -> HistoryView:
    first = group[0]
    in_force = any(getattr(entry, "undone_by", None) is None for entry in group)
    frame = first.frame if isinstance(first, Prompt) else first.first if isinstance(first, Retrack) else None
    return HistoryView(_sentence(group), first.author, first.time, frame, in_force)


def _sentence(group: Sequence[LogEntry]) -> str:
    first = group[0]
    if isinstance(first, Rename):
        return f"renamed {first.object_name} to {first.new_name}"
    if isinstance(first, Retrack):
        return f"tracked {_frames(first.first, first.last)} anew"
    prompts = [entry for entry in group if isinstance(entry, Prompt)]
    names = _listed(dict.fromkeys(prompt.object_name for prompt in prompts))
    prompt = prompts[0]
    if prompt.purpose == "lock":
        return f"locked frame {prompt.frame}"
    if isinstance(prompt.data, Absent):
        return f"{names} absent in {_frames(prompt.data.first, prompt.data.last)}"
    verb = "corrected" if prompt.purpose == "correction" else "showed"
    return f"{verb} {names} in frame {prompt.frame} ({_listed(dict.fromkeys(_NOUNS[p.data.kind] for p in prompts))})"


def _frames(first: int, last: int) -> str:
    """
    >>> _frames(3, 3), _frames(3, 9)
    ('frame 3', 'frames 3 to 9')
    """
    return f"frame {first}" if first == last else f"frames {first} to {last}"


def _listed(names: Iterable[str]) -> str:
    """
    >>> _listed(["cat"]), _listed(["cat", "dog", "cow"])
    ('cat', 'cat, dog and cow')
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last

"""Who asked what of a project, when, and what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from storage.commits import CommitRecord
from storage.prompt_log import LogEntry, Redo, Rename, Retrack, Undo
from tam_dist.steering.asking import Asking, Where
from tam_dist.steering.replacing import changed_by
from tam_dist.types import Absent, Clicks, Edition, Prompt


@dataclass(frozen=True)
class HistoryEntry:
    """One action: ``asked`` says it in words, ``group`` and the uuids ``entries`` are those of the log, ``time`` is seconds
    since the epoch. ``in_force``: not taken back. ``chunks`` are those whose stored masks were made again for it, ``frames``
    how many frames these are, and ``share`` (0..1) says how many of their pixels came to be something else; what was made again
    since counts for the action that it was made again for.
    """

    group: str
    time: float
    author: str
    asked: str
    entries: tuple[str, ...]
    in_force: bool
    chunks: tuple[int, ...]
    frames: int
    share: float


def history(where: Where) -> list[HistoryEntry]:
    """All actions on the project at ``where``, the first first. Raises :class:`ProjectError`, :class:`SchemaError`."""
    asking = Asking(where)
    names = {known.name: show.name for known, show in zip(asking.objects, asking.shown, strict=True)}
    by_uuid = {entry.uuid: entry for entry in asking.entries}
    records = asking.store.records()
    changed = _changed(asking.store.editions(), records)
    found = []
    for action in actions(asking.entries):
        uuids = tuple(entry.uuid for entry in action)
        chunks = sorted({chunk for uuid in uuids for chunk in changed.get(uuid, ())})
        sizes = [len(asking.store.manifest.chunk_frames(chunk)) for chunk in chunks]
        frames = sum(sizes)
        share = sum(size * records[chunk].changed for chunk, size in zip(chunks, sizes, strict=True)) / max(frames, 1)
        first = action[0]
        in_force = all(getattr(entry, "undone_by", None) is None for entry in action)
        asked = in_words(action, names, by_uuid)
        effect = tuple(chunks), frames, share
        found.append(HistoryEntry(first.group or first.uuid, first.time, first.author, asked, uuids, in_force, *effect))
    return found


def actions(entries: Iterable[LogEntry]) -> Iterator[tuple[LogEntry, ...]]:
    """What was asked one after the other, each action's entries together."""
    groups: dict[str, list[LogEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.group or entry.uuid, []).append(entry)
    return map(tuple, groups.values())


def in_words(action: Sequence[LogEntry], names: Mapping[str, str], by_uuid: Mapping[str, LogEntry]) -> str:
    """``names`` are those that objects go by, by their names in the log.

    >>> absent = Prompt("u", 0.0, "ann", 3, "cat", Absent(3, 9), purpose="correction")
    >>> in_words([absent], {"cat": "tom"}, {}), in_words([Undo("v", 1.0, "bob", "u")], {"cat": "tom"}, {"u": absent})
    ("'tom' is absent in 3..9", "undo: 'tom' is absent in 3..9")
    """
    first = action[0]
    if isinstance(first, Undo | Redo):
        # The other kind, in the same action, is about what was replaced.
        targets = [
            by_uuid[e.target] for e in action if isinstance(e, Undo | Redo) and type(e) is type(first) and e.target in by_uuid
        ]
        return f"{'undo' if isinstance(first, Undo) else 'redo'}: {in_words(targets, names, by_uuid) if targets else 'nothing'}"
    if isinstance(first, Prompt) and first.purpose == "lock":
        locked = [repr(names.get(e.object_name, e.object_name)) for e in action if isinstance(e, Prompt)]
        return f"frame {first.frame} is locked for {', '.join(locked)}"
    bases = {changed_by(entry) for entry in action if isinstance(entry, Prompt) and isinstance(entry.data, Clicks)}
    said = (entry for entry in action if entry.uuid not in bases and not isinstance(entry, Undo | Redo))
    asked = "; ".join(dict.fromkeys(_words(entry, names) for entry in said))
    return f"{asked} instead of those before" if any(isinstance(entry, Undo) for entry in action) else asked


def _words(entry: LogEntry, names: Mapping[str, str]) -> str:
    match entry:
        case Prompt(data=Absent(first, last)):
            return f"{_shown(entry, names)} is absent in {first}..{last}"
        case Prompt():
            return f"{entry.data.kind} for {_shown(entry, names)} on frame {entry.frame}"
        case Rename():
            return f"{entry.object_name!r} is called {entry.new_name!r}"
        case Retrack():
            return f"frames {entry.first}..{entry.last} anew"
        case Undo() | Redo():
            return entry.target


def _shown(prompt: Prompt, names: Mapping[str, str]) -> str:
    return repr(names.get(prompt.object_name, prompt.object_name))


def _changed(editions: Sequence[Edition], records: Mapping[int, CommitRecord]) -> dict[str, list[int]]:
    """The chunks that were made again, by the entries that were the newest when they were."""
    asked_last: dict[int, tuple[str, ...]] = {0: ()}
    for edition in editions:  # one that only ends tracking early has none of its own
        asked_last[edition.number] = edition.entries or asked_last[edition.number - 1]
    found: defaultdict[str, list[int]] = defaultdict(list)
    for chunk, record in records.items():
        if record.revision > 1:
            for uuid in asked_last.get(record.edition, ()):
                found[uuid].append(chunk)
    return found

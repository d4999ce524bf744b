"""What happens in a project, to any number of clients, from its files alone: whoever tracks it knows nothing of them.

Every change has a number, by which a client that lost its connection goes on: the time of the change in microseconds. What
was on its way within some seconds before that is told again rather than lost, so a change may come twice; it says what is
there now, so that does no harm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from storage.commits import COMMITS
from storage.location import LocalLocation
from storage.project_store import ProjectStore
from storage.prompt_log import LogEntry
from tam_dist.due import due_work
from tam_dist.errors import SchemaError
from tam_dist.prompts import objects_in_log, renamed
from tam_dist.steering.asking import Where
from tam_dist.steering.history import actions, in_words

#: Microseconds before the number that a client goes on from within which changes are told again: those that were being stored.
_OVERLAP = 10_000_000
#: Seconds between two looks at an object store, which is asked for every record.
_REMOTE_POLL = 5.0


@dataclass(frozen=True)
class ChunkTracked:
    """The masks of frames ``first`` to ``last``, both included, are stored, for the ``revision``-th time."""

    number: int
    chunk: int
    first: int
    last: int
    revision: int
    what: Literal["chunk"] = field(default="chunk", init=False)


@dataclass(frozen=True)
class Asked:
    """Somebody asked for something, in words; ``group`` names it in the log."""

    number: int
    group: str
    author: str
    asked: str
    what: Literal["asked"] = field(default="asked", init=False)


@dataclass(frozen=True)
class StateChanged:
    """``state`` as in :class:`storage.run_state.ProjectStatus`; ``frames_done`` of ``frames_total`` have masks, and those of
    ``stale`` (first, last) are to be made again.
    """

    number: int
    state: str
    reason: str
    frames_done: int
    frames_total: int
    stale: tuple[tuple[int, int], ...]
    what: Literal["state"] = field(default="state", init=False)


Change = ChunkTracked | Asked | StateChanged


def watch(where: Where, *, since: int = 0, poll: float = 0.5, stop: threading.Event | None = None) -> Iterator[Change]:
    """What changes in the project at ``where``, for ever, or until ``stop`` is set: first all that changed after number
    ``since`` and the state as it is, then what happens, looked for every ``poll`` seconds.

    Raises :class:`ProjectError`, :class:`SchemaError`, :class:`StorageError`.
    """
    watcher = _Watcher(where, since)
    pause = poll if watcher.store.location.is_local else max(poll, _REMOTE_POLL)
    stop = stop or threading.Event()
    while not stop.is_set():
        yield from watcher.look()
        stop.wait(pause)


class _Watcher:
    def __init__(self, where: Where, since: int) -> None:
        self.store = ProjectStore.open(where, write=False)
        self._after = since - _OVERLAP
        self._versions: dict[int, int] = {}
        self._revisions: dict[int, int] = {}
        self._heard: set[str] = set()
        self._state: StateChanged | None = None
        self._stale: tuple[tuple[int, int], ...] = ()
        self._judged: tuple[int, int, int] | None = None
        self._records = 0  # grows with every change of theirs

    def look(self) -> list[Change]:
        """What has changed since the last look, in the order of its numbers."""
        entries = self.store.entries()
        asked, chunks = self._asked(entries), self._chunks()
        # A chunk may be up to date again by an edition that ends tracking early, or made anew with the same masks.
        judged = (len(entries), self._records, self.store.edition_count())
        if judged != self._judged:
            stale = self._stale_ranges()
            self._stale, self._judged = (self._stale, None) if stale is None else (stale, judged)
        found: list[Change] = sorted((*asked, *chunks), key=lambda change: change.number)
        state = self._state_now()
        if self._state is None or (state.state, state.reason, state.frames_done, state.stale) != (
            self._state.state,
            self._state.reason,
            self._state.frames_done,
            self._state.stale,
        ):
            self._state = state
            found.append(state)
        return found

    def _asked(self, entries: tuple[LogEntry, ...]) -> list[Asked]:
        if all(entry.uuid in self._heard for entry in entries):
            return []
        known = objects_in_log(self.store.manifest.objects, entries)
        names = {a.name: b.name for a, b in zip(known, renamed(known, entries), strict=True)}
        by_uuid = {entry.uuid: entry for entry in entries}
        found = []
        for action in actions(entries):
            first = action[0]
            number = _number(action[-1].time)
            if number > self._after and any(entry.uuid not in self._heard for entry in action):
                found.append(Asked(number, first.group or first.uuid, first.author, in_words(action, names, by_uuid)))
        self._heard.update(by_uuid)
        return found

    def _chunks(self) -> list[ChunkTracked]:
        now = self._record_versions()
        due = [chunk for chunk, version in now.items() if self._versions.get(chunk) != version]
        self._records += bool(due) or now.keys() != self._versions.keys()
        records = self.store.records(due)
        found = []
        for chunk, record in records.items():
            number = _number(record.time)
            if self._revisions.get(chunk) != record.revision and number > self._after:
                frames = self.store.manifest.chunk_frames(chunk)
                found.append(ChunkTracked(number, chunk, frames.start, frames.stop - 1, record.revision))
            self._revisions[chunk], self._versions[chunk] = record.revision, now[chunk]
        for chunk in self._versions.keys() - now.keys():  # lost or damaged, and to be tracked again
            del self._versions[chunk], self._revisions[chunk]
        return found

    def _record_versions(self) -> dict[int, int]:
        """By chunk, a number that changes whenever its record does: from one listing where that tells."""
        if not isinstance(self.store.location, LocalLocation):
            return {chunk: _number(record.time) for chunk, record in self.store.records().items()}
        folder, found = self.store.location.path / COMMITS, {}
        for chunk in self.store.committed:
            try:
                found[chunk] = (folder / f"{chunk:08d}.json").stat().st_mtime_ns
            except FileNotFoundError:
                continue  # removed this instant
        return found

    def _stale_ranges(self) -> tuple[tuple[int, int], ...] | None:
        """None where that cannot be told between two writes."""
        try:
            stale = sorted(due_work(self.store).stale)
        except SchemaError:
            return None
        ranges: list[tuple[int, int]] = []
        for chunk in stale:
            frames = self.store.manifest.chunk_frames(chunk)
            if ranges and ranges[-1][1] + 1 == frames.start:
                ranges[-1] = (ranges[-1][0], frames.stop - 1)
            else:
                ranges.append((frames.start, frames.stop - 1))
        return tuple(ranges)

    def _state_now(self) -> StateChanged:
        status = self.store.status()
        number = _number(time.time())
        return StateChanged(number, status.state, status.reason, status.frames_done, status.frames_total, self._stale)


def _number(seconds: float) -> int:
    return int(seconds * 1e6)

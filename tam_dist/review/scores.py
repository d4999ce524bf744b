"""A project's scores in memory, kept up to date with its commits, and shrunk to as many columns as a screen has pixels."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.commits import COMMITS, CommitLog
from storage.location import LocalLocation, Location
from storage.project_store import ProjectStore
from tam_dist.types import Origin, UInt8Array

#: Stands for "not tracked" among qualities of 0..254.
UNKNOWN = 255
#: Seconds for which a look at the commits holds; on object stores, where it reads every record.
_HOLDS_LOCAL, _HOLDS_REMOTE = 0.25, 5.0
#: Chunks read at once, between which others may look at what is there.
_BATCH = 256

_BITS = {Origin.PROMPTED: 1, Origin.REFINED: 2, Origin.CORRECTED: 4, Origin.ABSENT: 8}
#: The bits of :attr:`Lane.marks`, by the origin they stand for.
MARKS: Mapping[Origin, int] = _BITS


@dataclass(frozen=True, eq=False)
class Lane:
    """One object over ``n`` columns of frames: ``quality`` uint8, the worst in each, 0..254, :data:`UNKNOWN` where none is
    tracked; ``marks`` uint8, which of :data:`MARKS` occur; ``gone`` uint8, share of frames from which it is absent, 0..255.
    """

    quality: UInt8Array
    marks: UInt8Array
    gone: UInt8Array


class Scores:
    """Of one project. Any thread may ask; the first look at a long film takes seconds and fills in as it goes."""

    def __init__(self, store: ProjectStore) -> None:
        self._store = store
        manifest = store.manifest
        self._chunk_size, self._frames = manifest.chunk_size, manifest.frame_count
        self._quality = np.full((self._frames, len(manifest.objects)), UNKNOWN, np.uint8)
        self._origin = np.zeros_like(self._quality)
        self._revisions: dict[int, int] = {}
        self._versions: dict[int, int] = {}
        self._changed: dict[int, int] = {}
        self._looking = threading.Lock()
        self._looked = 0.0
        #: Grows with every change, also over a project's closing and opening: a page that asks what came since is told too
        #: much then. (Counted from 0, a project that was closed for others and opened again never told it what it had missed.)
        self.number = time.time_ns() // 1_000_000

    def refresh(self, *, wait: bool = True) -> None:
        """Take in what was committed since; where somebody else is at it, ``wait`` for that or leave it to them."""
        if not self._looking.acquire(blocking=wait):
            return
        try:
            holds = _HOLDS_LOCAL if isinstance(self._store.location, LocalLocation) else _HOLDS_REMOTE
            if time.monotonic() - self._looked > holds:
                self._take_in()
                self._looked = time.monotonic()
        finally:
            self._looking.release()

    @property
    def taken_in(self) -> bool:
        """Somebody has looked already."""
        return self._looked > 0

    @property
    def quality(self) -> UInt8Array:
        """uint8 (T, K), 0..254, :data:`UNKNOWN` where not tracked."""
        return self._quality

    @property
    def origin(self) -> UInt8Array:
        """uint8 (T, K) of :class:`Origin`."""
        return self._origin

    def revision(self, frame: int) -> int:
        """Of the chunk that ``frame`` is in, 0 where it is not tracked."""
        return self._revisions.get(frame // self._chunk_size, 0)

    def changed_since(self, number: int) -> dict[int, int]:
        """Revisions of the chunks that changed after ``number``, by chunk."""
        return {
            chunk: self._revisions[chunk]
            for chunk, at in list(self._changed.items())
            if at > number and chunk in self._revisions
        }

    @property
    def done(self) -> NDArray[np.bool_]:
        """bool (chunks,): which are committed."""
        done = np.zeros(-(-self._frames // self._chunk_size), bool)
        done[[chunk for chunk in list(self._revisions) if chunk < len(done)]] = True
        return done

    def mean_quality(self) -> float | None:
        """Over all objects' tracked frames, 0..1."""
        known = self._quality[self._quality != UNKNOWN]
        return float(known.mean() / 254) if known.size else None

    def lanes(self, first: int, stop: int, columns: int) -> list[Lane]:
        """Frames ``first`` to ``stop`` (exclusive) in at most ``columns`` columns, a lane for each object."""
        columns = max(1, min(columns, stop - first))
        edges = first + np.arange(columns) * (stop - first) // columns
        quality, origin = self._quality[first:stop], self._origin[first:stop]
        starts = edges - first
        worst = np.minimum.reduceat(quality, starts, axis=0)
        bits = np.zeros(256, np.uint8)
        for kind, bit in _BITS.items():
            bits[kind] = bit
        marks = np.bitwise_or.reduceat(bits[origin], starts, axis=0)
        sizes = np.diff(np.append(starts, stop - first))[:, None]
        gone = np.add.reduceat((origin == Origin.ABSENT).astype(np.uint32), starts, axis=0) * 255 // sizes
        return [Lane(worst[:, k], marks[:, k], gone[:, k].astype(np.uint8)) for k in range(quality.shape[1])]

    def _take_in(self) -> None:
        self._widen()
        now = _versions(self._store.location)
        lost = [chunk for chunk in self._versions if chunk not in now]
        due = sorted(chunk for chunk, version in now.items() if self._versions.get(chunk) != version)
        commits = CommitLog(self._store.location)
        for at in range(0, len(due), _BATCH):
            batch = due[at : at + _BATCH]
            records = commits.read_all(batch)
            for first, last in _stretches([chunk for chunk in batch if records[chunk] is not None]):
                self._read(first * self._chunk_size, min((last + 1) * self._chunk_size, self._frames))
            for chunk, record in records.items():
                if record is not None:
                    self._revisions[chunk], self._versions[chunk] = record.revision, now[chunk]
                    self._changed[chunk] = self.number + 1
            self.number += 1  # last: who looks meanwhile has yet to hear of these
        for chunk in lost:
            del self._versions[chunk]
            self._revisions.pop(chunk, None)
            self.number += 1

    def _widen(self) -> None:
        columns = self._store.quality.shape[1]
        if columns > self._quality.shape[1]:
            more = ((0, 0), (0, columns - self._quality.shape[1]))
            self._quality = np.pad(self._quality, more, constant_values=UNKNOWN)
            self._origin = np.pad(self._origin, more)
            self.number += 1

    def _read(self, start: int, stop: int) -> None:
        quality, origin = self._store.quality[start:stop], self._store.origin[start:stop]
        columns = min(quality.shape[1], self._quality.shape[1])
        scaled = np.where(np.isnan(quality), UNKNOWN, np.round(np.clip(np.nan_to_num(quality), 0, 1) * 254))
        self._quality[start:stop, :columns] = scaled[:, :columns].astype(np.uint8)
        self._origin[start:stop, :columns] = origin[:, :columns]


def _versions(project: Location) -> dict[int, int]:
    """Something that changes whenever a chunk's commit record is replaced, by chunk."""
    if isinstance(project, LocalLocation):
        folder = project.path / COMMITS
        if not folder.is_dir():
            return {}
        found = ((entry.name, entry.stat().st_mtime_ns) for entry in folder.iterdir() if entry.suffix == ".json")
        return {int(name[:-5]): version for name, version in found if name[:-5].isdigit()}
    commits = CommitLog(project)
    records = commits.read_all(commits.recorded())
    return {chunk: int(record.time * 1e6) for chunk, record in records.items() if record is not None}


def _stretches(chunks: list[int]) -> list[tuple[int, int]]:
    """Consecutive ``chunks`` as (first, last).

    >>> _stretches([1, 2, 5])
    [(1, 2), (5, 5)]
    """
    found: list[tuple[int, int]] = []
    for chunk in chunks:
        if found and found[-1][1] + 1 == chunk:
            found[-1] = (found[-1][0], chunk)
        else:
            found.append((chunk, chunk))
    return found

"""A project as any number of processes may see it at once: what is asked, what is done, and the masks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from storage import lock
from storage.commits import CommitLog, CommitRecord, labels_digest, scores_digest
from storage.location import Location
from storage.manifest import Manifest
from storage.masks import FrameIndex, FrameRows, MaskStore
from storage.prompt_log import LogEntry, PromptLog, Undo
from storage.run_state import ProjectStatus, read_state
from storage.shots import read_shots
from storage.track_record import TrackRecord
from tam_dist.errors import SchemaError
from tam_dist.types import (
    BoolArray,
    Edition,
    FloatArray,
    LabelArray,
    Prompt,
    ShotScan,
    UInt8Array,
)


class ProjectReader:
    """What needs no lock: reading, and appending to the prompt log. Failures of the storage raise :class:`StorageError`,
    damaged files :class:`SchemaError`.
    """

    def __init__(self, location: Location, manifest: Manifest, masks: MaskStore) -> None:
        self.location = location
        self._manifest = manifest
        self._masks = masks
        self._prompts = PromptLog(location)
        self._tracks = TrackRecord(location)
        self._commits = CommitLog(location)
        self._lock: lock.ProjectLock | None = None
        # Known without asking as long as nobody else may write: a listing of 10,000 records for each chunk adds up.
        self._committed: frozenset[int] | None = None

    @property
    def manifest(self) -> Manifest:
        if self._lock is None:  # another process may have added an object
            self._manifest = Manifest.read(self.location)
        return self._manifest

    def prompts(self) -> tuple[Prompt, ...]:
        """All of them, as of now, in the order given; see :func:`storage.prompt_log.active` for those in force."""
        return self._prompts.read()

    def append_prompt(self, prompt: Prompt) -> None:
        self.append_prompts([prompt])

    def append_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Durable when it returns; needs no lock; a uuid that is there already changes nothing."""
        self._prompts.append(prompts)

    def entries(self) -> tuple[LogEntry, ...]:
        """The whole prompt log as of now, see :meth:`storage.prompt_log.PromptLog.entries`."""
        return self._prompts.entries()

    def append_entries(self, entries: Sequence[LogEntry]) -> None:
        """Durable when it returns; needs no lock; a uuid that is there already changes nothing. Entries given together are one
        action, of which a reader sees all or nothing.
        """
        self._prompts.append(entries)

    def undo_prompt(self, uuid: str, *, author: str) -> Undo:
        """Take a prompt back, by appending. Raises :class:`PromptError` where none of that uuid is in force."""
        return self._prompts.undo(uuid, author=author)

    def editions(self) -> tuple[Edition, ...]:
        """The track record, see :mod:`storage.track_record`."""
        return self._tracks.read()

    def edition_count(self) -> int:
        """How many there are, without reading them."""
        return self._tracks.count()

    def check_room(self, objects: int) -> None:
        """Raises :class:`ProjectError` where so many objects are more than the label maps hold."""
        self._masks.check_room(objects)

    @property
    def committed(self) -> frozenset[int]:
        """Indices of the committed chunks, as of now."""
        return self._commits.committed() if self._committed is None else self._committed

    def shots(self) -> tuple[ShotScan, ...]:
        """What is known of the film's shots beside the records, as of now: stretches looked through, ascending and apart."""
        return read_shots(self.location)

    @property
    def next_chunk(self) -> int:
        """The first chunk that is not committed; the number of chunks when all are."""
        committed = self.committed
        return next((i for i in range(self._manifest.chunk_count) if i not in committed), self._manifest.chunk_count)

    def record(self, chunk: int) -> CommitRecord | None:
        """The commit record of a committed chunk, else None."""
        return self._commits.get(chunk) if chunk in self.committed else None

    def records(self, chunks: Collection[int] | None = None) -> dict[int, CommitRecord]:
        """Of all committed chunks (or those of ``chunks``) whose record can be read."""
        found = self._commits.read_all(self.committed if chunks is None else self.committed.intersection(chunks))
        return {chunk: record for chunk, record in found.items() if record is not None}

    def is_intact(self, chunk: int, *, thorough: bool = True) -> bool:
        """Whether a committed chunk's stored masks and scores are those its record vouches for. Where not ``thorough``, it is
        enough that the stored bytes are those that were written.
        """
        record = self._commits.read_all([chunk])[chunk] if chunk in self.committed else None
        if record is None:
            return False
        if not thorough and record.stored is not None and record.stored == self._masks.stored_digest(chunk):
            return True
        return self._matches(record)

    def _matches(self, record: CommitRecord) -> bool:
        frames = self._manifest.chunk_frames(record.chunk)
        rows = slice(frames.start, frames.stop)
        columns = slice(0, record.objects)
        try:
            if labels_digest(self.labels[rows]) != record.digest:
                return False
            return scores_digest(self.quality[rows][:, columns], self.origin[rows][:, columns]) == record.scores
        except SchemaError:
            return False

    @property
    def labels(self) -> FrameRows[LabelArray]:
        """(T, H, W), 0 background, else an object's id; read frame by frame: ``labels[7]``, ``labels[10:20]``."""
        return self._masks.labels

    @property
    def quality(self) -> FrameRows[FloatArray]:
        """float32 (T, K) in 0..1, NaN = not tracked."""
        return self._masks.quality

    @property
    def origin(self) -> FrameRows[UInt8Array]:
        """uint8 (T, K) of :class:`tam_dist.types.Origin`."""
        return self._masks.origin

    @property
    def pts(self) -> NDArray[np.int64]:
        """int64 (T,), in the source's time base."""
        return self._masks.pts

    def mask(self, object_id: int, frames: FrameIndex) -> BoolArray:
        """bool (n, H, W): one object's masks in ``frames``."""
        return np.asarray(self.labels[frames] == object_id)

    def status(self) -> ProjectStatus:
        """As of now, whoever is writing."""
        manifest, committed = self.manifest, self.committed
        writer = lock.holder(self.location)
        state, reason, changed = read_state(self.location)
        return ProjectStatus(
            state="interrupted" if state == "running" and writer is None else state,
            reason=reason,
            changed=changed,
            frames_total=manifest.frame_count,
            frames_done=sum(len(manifest.chunk_frames(i)) for i in committed),
            objects=manifest.objects,
            writer=writer,
        )

"""A project as the engine, the actors and the review pane see it: one object over prompts, masks, commits and checkpoints.

>>> store = ProjectStore.open("/films/a", write=False)  # doctest: +SKIP
>>> store.labels[120]                                   # uint8 (H, W), 0 background  # doctest: +SKIP
>>> store.mask(1, range(100, 110))                      # bool (10, H, W)  # doctest: +SKIP

Any number of processes may read and append prompts; one at a time holds the lock and writes the rest. What a killed
writer leaves behind is removed when the project is next opened for writing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from storage import lock, ownership
from storage.checkpoints import BACKWARD_CHECKPOINTS, CHECKPOINTS, CheckpointStore, state_digest
from storage.commits import COMMITS, CommitRecord, scores_digest
from storage.encoding import encode_labels
from storage.location import Location
from storage.manifest import MANIFEST, Manifest
from storage.masks import MASKS, MaskStore
from storage.project_reader import ProjectReader
from storage.prompt_log import PROMPTS, PROMPTS_FOLDER
from storage.run_state import STATE, RunState, write_state
from storage.shots import SHOTS, joined, write_shots
from storage.track_record import TRACKS
from tam_dist.errors import ProjectError, ProjectExistsError, SchemaError
from tam_dist.types import (
    ChunkResult,
    Edition,
    EncodedLabels,
    FloatArray,
    ShotScan,
    TrackedObject,
    UInt8Array,
)

Where = str | os.PathLike[str] | Location
_REMAINS = frozenset({COMMITS, CHECKPOINTS, BACKWARD_CHECKPOINTS, PROMPTS, PROMPTS_FOLDER, STATE, SHOTS, TRACKS})


class ProjectStore(ProjectReader):
    """Made by :meth:`create` and :meth:`open`. All methods may be called from several threads; failures of the storage
    raise :class:`StorageError`, damaged files :class:`SchemaError`.
    """

    def __init__(self, location: Location, manifest: Manifest, masks: MaskStore, held: lock.ProjectLock | None) -> None:
        super().__init__(location, manifest, masks)
        self._lock = held
        every, keep = (_tracking_setting(location, manifest, name) for name in ("checkpoint_every", "keep_checkpoints"))
        self._budget = int(manifest.config["tracking"].get("keep_bytes", -1))
        self._checkpoints = CheckpointStore(location, every=every, keep=keep, budget=self._budget)
        self._backward = CheckpointStore(location, every=every, keep=keep, folder=BACKWARD_CHECKPOINTS)
        #: The chunks with which the video's segments begin: each has states of its own.
        self.borders: tuple[int, ...] = (0,)
        self._writing = threading.RLock()
        self._rewriting: frozenset[int] = frozenset()

    # --- life cycle ---------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, where: Where, manifest: Manifest, pts: NDArray[np.int64], *, owner: str | None = None) -> ProjectStore:
        """A new project, opened for writing. ``pts``: int64 (T,), in the source's time base.

        Raises :class:`ProjectExistsError`, :class:`ProjectLockedError`.
        """
        location = Location.parse(where)
        held = lock.acquire(location, owner=owner)
        try:
            present = location.children()
            if MANIFEST in present:
                raise ProjectExistsError(f"{location} is a project already: run tam-dist resume or choose another --out.")
            if remains := _REMAINS.intersection(present):  # they would count as the new project's
                raise ProjectExistsError(
                    f"{location} has {', '.join(sorted(remains))} of a project but no {MANIFEST}: "
                    "restore that file or choose another --out."
                )
            source = manifest.source
            shape = (source.frame_count, source.height, source.width)
            masks = MaskStore.create(
                location, shape, chunk_size=manifest.chunk_size, objects=len(manifest.objects), pts=np.asarray(pts, np.int64)
            )
            manifest.write(location)  # last: from here on it is a project
        except BaseException:
            held.release()
            raise
        return cls(location, manifest, masks, held)

    @classmethod
    def open(cls, where: Where, *, write: bool, owner: str | None = None) -> ProjectStore:
        """With ``write`` takes the lock and removes what a killed writer left (``owner``: see :func:`storage.lock.acquire`).

        Raises :class:`ProjectError` where there is no project, :class:`ProjectLockedError`, :class:`SchemaError`.
        """
        location = Location.parse(where)
        manifest = Manifest.read(location)  # before the lock: no lock file in a folder that is no project
        if not write:
            return cls(location, manifest, MaskStore(location, write=False), None)
        held = lock.acquire(location, owner=owner)
        try:
            store = cls(location, Manifest.read(location), MaskStore(location, write=True), held)
            store._recover()
        except BaseException:
            held.release()
            raise
        return store

    @staticmethod
    def exists(where: Where) -> bool:
        return (Location.parse(where) / MANIFEST).exists()

    @staticmethod
    def remains(where: Where) -> frozenset[str]:
        """What lies there of a project whose ``project.json`` is gone; nothing where it is there, or there never was one."""
        present = Location.parse(where).children()
        return frozenset() if MANIFEST in present else _REMAINS.intersection(present)

    @staticmethod
    def discard(where: Where) -> None:
        """Remove a project's own files, and nothing else that lies beside or between them; nothing where there is no project.

        Raises :class:`ProjectLockedError`, and :class:`SchemaError` where ``project.json`` is not tam-dist's.
        """
        location = Location.parse(where)
        if not ProjectStore.exists(location):
            return
        ownership.check_project(location / MANIFEST)
        held = lock.acquire(location)
        try:
            (location / MANIFEST).remove()  # first: from here on it is no project
            (location / PROMPTS).remove()
            (location / STATE).remove()
            (location / SHOTS).remove()
            ownership.remove_masks(location / MASKS)
            for folder in (COMMITS, CHECKPOINTS, BACKWARD_CHECKPOINTS, PROMPTS_FOLDER, TRACKS):
                ownership.remove_own(location / folder)
        finally:
            held.release()

    def close(self) -> None:
        """Release the lock; may be repeated. Reading goes on working."""
        with self._writing:
            if self._lock is not None:
                self._lock.release()
            self._lock = None
            self._committed = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- what is asked ------------------------------------------------------------------------------------------------

    def add_objects(self, objects: Sequence[TrackedObject]) -> None:
        """Append objects, whose ids must go on from the last. Raises :class:`ProjectError` for more than the arrays hold."""
        with self._writing:
            self._require_lock()
            grown = (*self._manifest.objects, *objects)
            if [o.id for o in grown] != list(range(1, len(grown) + 1)):
                raise ValueError(f"object ids must count from 1 without a gap, not {[o.id for o in grown]}")
            self._masks.grow(len(grown))
            self._manifest = replace(self._manifest, objects=grown)
            self._manifest.write(self.location)

    def append_edition(self, edition: Edition) -> None:
        """Durable when it returns."""
        with self._writing:
            self._require_lock()
            self._tracks.append(edition)

    # --- what is done -------------------------------------------------------------------------------------------------

    def keep_shots(self, scan: ShotScan) -> None:
        """Add what was found; a stretch that is known already changes nothing."""
        with self._writing:
            self._require_lock()
            before = self.shots()
            after = joined((*before, scan))
            if after != before:
                write_shots(self.location, after)

    def commit(
        self,
        result: ChunkResult,
        checkpoint: bytes | None = None,
        *,
        backward: bool = False,
        agreeing: int = 0,
        encoded: EncodedLabels | None = None,
    ) -> CommitRecord:
        """Store a chunk's masks, and the tracker's state after it, and make them count: all of it or nothing. ``backward``:
        those stored, completed by a backward pass, and that pass's state; the forward pass's own stays. ``agreeing``: see
        :class:`CommitRecord`; ``encoded``: the result's labels, where somebody has encoded them.

        A chunk already committed with the same content is left alone, so a commit may be repeated; with other masks it is
        rewritten with the next revision; with the same masks and other scores, prompts, basis or state the revision stays.
        Raises :class:`ProjectLockedError` where the lock was lost.
        """
        labels, quality, origin = self._checked(result, encoded)
        chunk = result.index
        with self._writing:
            self._require_lock()
            old = self._commits.get(chunk) if chunk in self.committed | self._rewriting else None
            new = CommitRecord(
                chunk=chunk,
                revision=1,
                digest=labels.digest,
                scores=scores_digest(quality, origin),
                objects=quality.shape[1],
                checkpoint=None if checkpoint is None or backward else state_digest(checkpoint),
                prompts=tuple(result.prompts),
                time=time.time(),
                basis=None if result.basis is None else result.basis.after(result.layer),
                backward=state_digest(checkpoint) if checkpoint is not None and backward else None,
                cuts=result.cuts,
                edition=result.edition,
                agreeing=0 if backward else agreeing,
                agreeing_back=agreeing if backward else 0,
            )
            if old is not None:
                if backward:
                    kept = new.backward or old.backward
                    new = replace(new, checkpoint=old.checkpoint, backward=kept, agreeing=old.agreeing)
                elif checkpoint is None and replace(new, checkpoint=old.checkpoint).same_content(old):
                    new = replace(new, checkpoint=old.checkpoint)  # a replay that owed no state: the one stored still holds
                if chunk in self.committed and new.same_content(old):
                    return old
                new = replace(new, revision=old.revision + (new.digest != old.digest or chunk in self._rewriting))
                if new.digest != old.digest and chunk in self.committed:  # else who knows what is there of it
                    new = replace(new, changed=self._share_changed(result))
                self._commits.begin_rewrite(chunk)
                self._rewriting |= {chunk}
                self._committed = self.committed - {chunk}
            if checkpoint is not None:
                self._keep_state(chunk, checkpoint, backward=backward)
            new = replace(new, stored=self._masks.write(result.start, labels, quality, origin))
            self._require_lock()  # once more: whoever lost the lock while writing must not vouch for the chunk
            self._commits.put(new)
            if old is not None:
                self._commits.end_rewrite(chunk)
                self._rewriting -= {chunk}
            self._committed = self.committed | {chunk}
            if checkpoint is not None:
                self._thin(backward=backward)
            return new

    def amend(self, result: ChunkResult) -> CommitRecord:
        """Store what a person changed of a committed chunk's masks. The tracker's state after it is what it was."""
        labels, quality, origin = self._checked(result)
        chunk = result.index
        with self._writing:
            self._require_lock()
            old = self.record(chunk)
            if old is None:
                raise ValueError(f"chunk {chunk} is not committed")
            digest, basis = labels.digest, None if result.basis is None else result.basis.after(result.layer)
            new = replace(old, digest=digest, scores=scores_digest(quality, origin), objects=quality.shape[1], basis=basis)
            new = replace(new, revision=old.revision + (digest != old.digest), time=time.time())
            new = replace(new, changed=self._share_changed(result))
            self._commits.begin_rewrite(chunk)
            new = replace(new, stored=self._masks.write(result.start, labels, quality, origin))
            self._commits.put(new)
            self._commits.end_rewrite(chunk)
            return new

    def attach_checkpoint(self, chunk: int, state: bytes, *, backward: bool = False) -> None:
        """Keep the tracker's state after a chunk that was committed without one, as a run that is stopped does."""
        with self._writing:
            self._require_lock()
            record = self.record(chunk)
            if record is None:
                raise ValueError(f"chunk {chunk} is not committed")
            digest = self._keep_state(chunk, state, backward=backward)
            self._commits.put(replace(record, backward=digest) if backward else replace(record, checkpoint=digest))
            self._thin(backward=backward)

    def checkpoint(
        self,
        before_chunk: int,
        readable: Callable[[bytes], bool] = bool,
        *,
        backward: bool = False,
        usable: Callable[[int], bool] | None = None,
    ) -> tuple[int, bytes] | None:
        """The newest usable state to start ``before_chunk`` from, as (chunk after which it was taken, state), else None;
        ``backward``: of a pass that comes to that chunk from behind; ``usable``: whether the state after a chunk will do.

        A state that is missing, torn, outdated by a rewrite of its chunk or not ``readable`` is passed over for the next older.
        """
        store = self._backward if backward else self._checkpoints
        for number in reversed(store.chunks()):
            chunk = self._mirrored(number) if backward else number
            before = (chunk > before_chunk if backward else chunk < before_chunk) and (usable is None or usable(chunk))
            record = self._commits.read_all([chunk])[chunk] if before and chunk in self.committed else None
            digest = None if record is None else record.backward if backward else record.checkpoint
            state = None if digest is None else store.read(number, digest)
            if state is not None and readable(state):
                return chunk, state
        return None

    def _share_changed(self, result: ChunkResult) -> float:
        """Of the pixels of a chunk, those that ``result`` makes others than are stored."""
        return float((self.labels[result.start : result.start + len(result.labels)] != result.labels).mean())

    def _thin(self, *, backward: bool) -> None:
        if backward:
            ends = {self._manifest.chunk_count - border for border in self.borders[1:]}
            self._backward.thin(borders=(0, *sorted(ends)))
        else:
            self._checkpoints.thin(borders=self.borders)

    def _mirrored(self, chunk: int) -> int:
        return self._manifest.chunk_count - 1 - chunk

    def _keep_state(self, chunk: int, state: bytes, *, backward: bool) -> str:
        """Its digest."""
        return self._backward.write(self._mirrored(chunk), state) if backward else self._checkpoints.write(chunk, state)

    def discard_checkpoints(self, first: int, last: int | None = None) -> None:
        """Remove the states after chunks ``first`` to ``last`` (to the end if None), which a correction made untrue."""
        with self._writing:
            self._require_lock()
            for chunk in self._checkpoints.chunks():
                if first <= chunk and (last is None or chunk <= last):
                    self._checkpoints.remove(chunk)

    def forget(self, chunks: Collection[int]) -> None:
        """Let ``chunks``, whose masks were lost or damaged, count as never tracked; their checkpoints, which their records
        vouched for, go with them.
        """
        with self._writing:
            self._require_lock()
            for chunk in chunks:
                self._commits.remove(chunk)
                self._checkpoints.remove(chunk)
                self._backward.remove(self._mirrored(chunk))
            self._masks.remove(frozenset(chunks))
            self._committed = self._commits.committed()

    def shrink_checkpoints(self, budget: int) -> int:
        """Remove checkpoints until they take at most ``budget`` bytes; returns the bytes freed."""
        with self._writing:
            self._require_lock()
            return self._checkpoints.shrink(budget)

    # --- state --------------------------------------------------------------------------------------------------------

    def move_source(self, uri: str) -> None:
        """Note where the video lies now."""
        with self._writing:
            self._require_lock()
            self._manifest = replace(self._manifest, source=replace(self._manifest.source, uri=uri))
            self._manifest.write(self.location)

    def set_state(self, state: RunState, reason: str = "") -> None:
        """``reason``: one sentence for people, "" where the state says it all. A done project keeps the checkpoints that its
        ``tracking.keep_bytes`` have room for.
        """
        with self._writing:
            self._require_lock()
            if state == "done":
                self._checkpoints.thin(done=True)
                self._backward.shrink(0)  # what they start from is the first prompts alone: later ones need none of them
                if self._budget >= 0:
                    self._checkpoints.shrink(self._budget)
            write_state(self.location, state, reason)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _require_lock(self) -> None:
        if self._lock is None:
            raise ProjectError(f"{self.location} was opened for reading: open it with write=True.")
        self._lock.check()

    def _checked(
        self, result: ChunkResult, encoded: EncodedLabels | None = None
    ) -> tuple[EncodedLabels, FloatArray, UInt8Array]:
        """The result's arrays as they are stored. A result that does not fit is a fault of the caller: ``ValueError``."""
        frames = self._manifest.chunk_frames(result.index)
        source = self._manifest.source
        if not frames or result.start != frames.start or result.labels.shape != (len(frames), source.height, source.width):
            raise ValueError(f"chunk {result.index} from frame {result.start}, labels {result.labels.shape}, is off the grid")
        columns = len(self._manifest.objects)
        if result.quality.shape != result.origin.shape or result.quality.shape[0] != len(frames):
            raise ValueError(f"quality {result.quality.shape} and origin {result.origin.shape} do not fit {len(frames)} frames")
        dtype = self.labels.dtype
        if encoded is not None and (encoded.dtype, encoded.shape) != (dtype.str, result.labels.shape):
            encoded = None
        highest = result.labels.max() if encoded is None else encoded.highest
        if result.quality.shape[1] > columns or highest > columns:
            raise ValueError(f"chunk {result.index} names an object beyond the project's {columns}")
        if encoded is None:
            encoded = encode_labels(np.ascontiguousarray(result.labels, dtype=dtype), self._manifest.chunk_size)
        return encoded, np.asarray(result.quality, np.float32), np.asarray(result.origin, np.uint8)

    def _recover(self) -> None:
        """After the lock is taken: whatever the last writer did not finish is undone, or finished where only that was left."""
        self.location.sweep()
        records = self._commits.read_all(self._commits.recorded())
        for chunk in [chunk for chunk, record in records.items() if record is None]:
            self._commits.remove(chunk)  # damaged: it vouches for nothing
        for chunk in self._commits.rewriting():
            record = records.get(chunk)
            if record is None or self._matches(record):
                self._commits.end_rewrite(chunk)
        self._rewriting = self._commits.rewriting()
        self._committed = self._commits.committed()
        recorded = self._committed | self._rewriting
        self._masks.remove(self._masks.stored_chunks() - recorded)
        for chunk in self._checkpoints.chunks():
            owner = records.get(chunk) if chunk in recorded else None
            if owner is None or owner.checkpoint is None:
                self._checkpoints.remove(chunk)
        for number in self._backward.chunks():
            owner = records.get(self._mirrored(number)) if self._mirrored(number) in recorded else None
            if owner is None or owner.backward is None:
                self._backward.remove(number)


def _tracking_setting(where: Location, manifest: Manifest, name: str) -> int:
    try:
        return int(manifest.config["tracking"][name])
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"{where / MANIFEST} is damaged (no tracking.{name}): restore it from a copy.") from error

"""Owns the projects of its videos: takes their locks, says what is due and from which checkpoint, commits chunks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from storage.commits import CommitRecord
from storage.encoding import encode_labels
from storage.project_store import ProjectStore
from storage.run_state import RunState
from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    Encode,
    KeepShots,
    Lessons,
    OpenPass,
    OpenProject,
    PassReceipt,
    Payload,
    ProjectReceipt,
    Receipt,
    Replan,
    Write,
    WriteReceipt,
)
from tam_dist.due import DueWork, due_work, passes_due, start_of
from tam_dist.errors import ProjectLockedError, StorageError
from tam_dist.locking import lock_frames
from tam_dist.settling import agreeing_with_found, agreeing_with_stored, settle, settle_back
from tam_dist.tracking.asked import Asked
from tam_dist.tracking.fill import filled, fused, of_stored
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import ReferenceFrames, SessionSpec
from tam_dist.types import ChunkResult, EncodedLabels, StepResult
from tam_dist.workers.base import Stopwatch, unexpected

#: How a project remembers that it was stopped half-way: as a run that nobody writes any more, to be resumed.
_STOPPED = "stopped"
#: Seconds between two looks at a lock that is waited for.
_LOOK_EVERY = 0.25


class WriterWorker:
    """A project stays open, and locked, from ``OpenProject`` to ``CloseProject``. A fresh worker opens it at whatever call
    comes first.

    ``owner``: whose abandoned locks it may take over at once (see :func:`storage.lock.acquire`); ``patience``: seconds for
    which it waits, at the start of a run, for a lock that another process holds, whose end may be near.
    """

    def __init__(self, *, owner: str | None = None, patience: float = 0.0) -> None:
        self._owner = owner
        self._patience = patience
        self._stores: dict[str, ProjectStore] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call:
            case OpenProject():
                store = self._store(call.video, patience=self._patience)
                work = _plan(store, ())
                store.set_state("running")
                if work.unscanned:
                    return ProjectReceipt(watch.seconds, (), frozenset(), unscanned=work.unscanned), None
                passes = passes_due(work)
                return _receipt(watch, work, passes), work.asked
            case Replan():
                store = self._store(call.video)
                work = _plan(store, [chunk for each in call.under_way for chunk in each.begun])
                passes = passes_due(work)
                going_on = _going_on(call, payloads[0], work, passes)
                return replace(_receipt(watch, work, passes), going_on=going_on), work.asked
            case OpenPass():
                store, asked = self._store(call.video), payloads[0]
                store.borders = asked.borders
                start = start_of(store, asked, call.plan)
                lessons = tuple((start.lessons or {}).items())
                receipt = PassReceipt(watch.seconds, start.next_chunk, start.done, start.references, lessons, start.anew)
                return receipt, start.session
            case KeepShots():
                self._store(call.video).keep_shots(call.scan)
                return Receipt(watch.seconds), None
            case Write():
                step, encoded = payloads if len(payloads) > 1 else (payloads[0], None)
                return WriteReceipt(watch.seconds, self._write(self._store(call.video), call, step, encoded)), None
            case Encode():
                result = payloads[0].chunk
                encoded = None if result is None else encode_labels(result.labels, call.chunk_size)
                return Receipt(watch.seconds), encoded
            case CloseProject():
                self._close_project(call)
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def _close_project(self, call: CloseProject) -> None:
        """Whatever goes wrong, the store is let go: one that stayed here, its lock lost, kept its project from being opened for
        as long as this process lived.
        """
        store = self._store(call.video)
        try:
            if call.state != _STOPPED:
                store.set_state(cast(RunState, call.state), call.reason or "")
        finally:
            del self._stores[call.video]
            store.close()

    @staticmethod
    def _write(store: ProjectStore, call: Write, step: StepResult, encoded: EncodedLabels | None) -> bool:
        """Whatever comes again, or late, changes nothing: a chunk that a later pass has completed stays as it is. Returns
        whether what the pass has still before it may stay.
        """
        result, record = step.chunk, store.record(call.chunk)
        if result is None:
            if step.checkpoint is not None:
                store.attach_checkpoint(call.chunk, step.checkpoint, backward=call.backward)
            return False
        made = 0 if result.basis is None or record is None or record.basis is None else result.basis.made(record.basis)
        new: CommitRecord | None = None
        if made <= result.layer + 1 and not result.layer:
            agreeing = agreeing_with_stored(store, result) if record is not None and not made else 0
            new = store.commit(result, step.checkpoint, agreeing=agreeing, encoded=encoded)
        elif record is None or made < result.layer:
            raise StorageError(f"{store.location}: chunk {call.chunk} is gone or was changed meanwhile: resume it.")
        elif made == result.layer:
            agreeing = 0 if result.fusion is None else agreeing_with_found(store, result, result.fusion)
            new = store.commit(_brought_together(store, record, result), step.checkpoint, backward=True, agreeing=agreeing)
        elif step.checkpoint is not None:
            store.attach_checkpoint(call.chunk, step.checkpoint, backward=call.backward)
        new = new or record
        assert new is not None
        edition = settle_back(store, new, result.fusion) if result.fusion is not None else None
        if not result.layer:
            edition = settle(store, new)
        if edition is not None:
            store.append_edition(edition)
        return edition is not None

    def _store(self, project: str, *, patience: float = 0.0) -> ProjectStore:
        deadline = time.monotonic() + patience
        while project not in self._stores:
            try:
                self._stores[project] = ProjectStore.open(project, write=True, owner=self._owner)
            except ProjectLockedError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_LOOK_EVERY)
        return self._stores[project]


def _brought_together(store: ProjectStore, record: CommitRecord, result: ChunkResult) -> ChunkResult:
    """The stored masks of a chunk with those of a backward pass."""
    frames = slice(result.start, result.start + len(result.labels))
    stored = of_stored(store.labels[frames], store.quality[frames], store.origin[frames], result, record.prompts)
    return filled(stored, result) if result.fusion is None else fused(stored, result, result.fusion)


def _plan(store: ProjectStore, begun: Iterable[int]) -> DueWork:
    """What is due, and what is new in the log put on record before any masks depend on it."""
    begun = tuple(begun)
    work = due_work(store, begun)
    if work.edition is not None:
        store.append_edition(work.edition)
        if lock_frames(store, work):
            work = due_work(store, begun)
    new = work.asked.objects[len(store.manifest.objects) :]
    if new:
        store.add_objects(new)
    store.borders = work.asked.borders
    return work


def _receipt(watch: Stopwatch, work: DueWork, passes: tuple[Pass, ...]) -> ProjectReceipt:
    find_cuts = work.asked.spec_at(0).looks_for_cuts
    return ProjectReceipt(watch.seconds, passes, work.up_to_date, _references(work, passes), find_cuts=find_cuts)


def _references(work: DueWork, passes: Iterable[Pass]) -> tuple[ReferenceFrames, ...]:
    """All that passes start from or will learn."""
    found: dict[ReferenceFrames, None] = {}
    for each in passes:
        spec = work.asked.spec_of(each)
        found.update(dict.fromkeys(spec.references(each)))
        found.update(dict.fromkeys(frames for given in spec.lessons_of(each).values() for frames in given))
    return tuple(sorted(found, key=lambda frames: (frames.chunk, frames.prompts)))


def _going_on(call: Replan, before: Asked, work: DueWork, passes: tuple[Pass, ...]) -> tuple[tuple[Pass, Lessons], ...]:
    """The passes under way that are still asked for, with all that they have begun as it is asked for now."""
    found = []
    for each in call.under_way:
        plan, begun = each.plan, each.begun
        if plan not in passes:
            continue
        old, new = before.spec_of(plan), work.asked.spec_of(plan)
        stored = {chunk for chunk in begun if chunk in plan.kept and chunk not in each.unstored}
        # Where a backward pass is still to come, what it is brought together with has to be there already.
        holds = all(work.made.get(c, 0) >= new.layer(plan, c) + (c in stored) for c in plan.kept)
        opened_alike = old.fusion(plan) == new.fusion(plan) and old.references(plan) == new.references(plan)
        if holds and opened_alike and all(_same_layer(old, new, plan, chunk) for chunk in begun):
            lessons = tuple((chunk, frames) for chunk, frames in new.lessons_of(plan).items() if chunk not in begun)
            found.append((plan, lessons))
    return tuple(found)


def _same_layer(old: SessionSpec, new: SessionSpec, plan: Pass, chunk: int) -> bool:
    bases = [spec.basis(chunk).after(spec.layer(plan, chunk)) for spec in (old, new)]
    return bases[0] == bases[1]

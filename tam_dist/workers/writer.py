"""Owns the projects of its videos: takes their locks, says what is due and from which checkpoint, commits chunks."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import cast

from storage.project_store import ProjectStore
from storage.run_state import RunState
from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    KeepShots,
    OpenPass,
    OpenProject,
    PassReceipt,
    Payload,
    ProjectReceipt,
    Receipt,
    Write,
)
from tam_dist.due import due_work, passes_due, start_of
from tam_dist.errors import ProjectLockedError, StorageError
from tam_dist.tracking.fill import filled, of_stored
from tam_dist.types import StepResult
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
                work = due_work(store)
                store.set_state("running")
                if work.unscanned:
                    return ProjectReceipt(watch.seconds, (), frozenset(), unscanned=work.unscanned), None
                passes = passes_due(work)
                needed = tuple(sorted({chunk for each in passes for chunk in work.spec.reference_chunks(each)}))
                store.borders = work.spec.borders
                return ProjectReceipt(watch.seconds, passes, work.up_to_date, needed, work.spec.looks_for_cuts), work.spec
            case OpenPass():
                store, spec = self._store(call.video), payloads[0]
                store.borders = spec.borders
                start = start_of(store, spec, call.plan)
                return PassReceipt(watch.seconds, start.next_chunk, start.done, start.references), start.session
            case KeepShots():
                self._store(call.video).keep_shots(call.scan)
                return Receipt(watch.seconds), None
            case Write():
                self._write(self._store(call.video), call, payloads[0])
                return Receipt(watch.seconds), None
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
    def _write(store: ProjectStore, call: Write, step: StepResult) -> None:
        """Whatever comes again, or late, changes nothing: a chunk whose masks are filled in stays as it is."""
        result, record = step.chunk, store.record(call.chunk)
        basis = None if result is None else result.basis
        whole = basis is not None and bool(basis.fill) and record is not None and record.basis == basis
        if result is None or whole:
            if step.checkpoint is not None:
                store.attach_checkpoint(call.chunk, step.checkpoint, backward=call.backward)
        elif not call.backward:
            store.commit(replace(result, basis=None if basis is None else basis.before_fill), step.checkpoint)
        else:
            if record is None or basis is None or record.basis != basis.before_fill:
                raise StorageError(f"{store.location}: chunk {call.chunk} is gone or was changed meanwhile: resume it.")
            frames = slice(result.start, result.start + len(result.labels))
            stored = of_stored(store.labels[frames], store.quality[frames], store.origin[frames], result)
            merged = filled(replace(stored, prompts=record.prompts), result)
            store.commit(merged, step.checkpoint, backward=True)

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

"""The executor without Ray: one thread a worker, in this process. For single videos, tests, notebooks and debugging."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence

from tam_dist.coordination.calls import Call, Completion, Payload, Role, Worker, WorkerId, abandon

#: Makes a worker; called in the worker's own thread, at its first call.
WorkerFactory = Callable[[], Worker]


class InlineExecutor:
    """Decoding and writing overlap the models because each worker has its own thread; torch, codecs and zarr release the GIL.

    Threads are daemons: after the second Ctrl-C the process must be able to leave while a worker is inside a long call.
    """

    def __init__(self, factories: Mapping[Role, Sequence[WorkerFactory]]) -> None:
        self._done: queue.SimpleQueue[Completion] = queue.SimpleQueue()
        self._lanes = {
            WorkerId(role, number): _Lane(WorkerId(role, number), factory, self._done)
            for role, makers in factories.items()
            for number, factory in enumerate(makers)
        }

    def workers(self, role: Role) -> Sequence[WorkerId]:
        return [w for w in self._lanes if w.role is role]

    def submit(self, worker: WorkerId, call: Call, *payloads: Payload) -> None:
        self._lanes[worker].put(call, payloads)

    def abandon(self, worker: WorkerId, generation: int) -> None:
        self._lanes[worker].abandon(generation)

    def wait(self, timeout: float | None) -> Sequence[Completion]:
        try:
            found = [self._done.get(timeout=timeout)]
        except queue.Empty:
            return []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.stop()


class _Lane:
    """One worker and its thread, started at the first call."""

    def __init__(self, worker: WorkerId, factory: WorkerFactory, done: queue.SimpleQueue[Completion]) -> None:
        self._id = worker
        self._factory = factory
        self._done = done
        self._calls: queue.SimpleQueue[tuple[Call, tuple[Payload, ...]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._worker: Worker | None = None

    def put(self, call: Call, payloads: tuple[Payload, ...]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=str(self._id), daemon=True)
            self._thread.start()
        self._calls.put((call, payloads))

    def abandon(self, generation: int) -> None:
        abandon(self._worker, generation)

    def stop(self) -> None:
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(timeout=10)
            self._thread = None

    def _serve(self) -> None:
        while (item := self._calls.get()) is not None:
            call, payloads = item
            try:
                if self._worker is None:
                    self._worker = self._factory()
                receipt, payload = self._worker.run(call, *payloads)
            except Exception as error:  # whatever a worker raises ends its video, not the others
                self._done.put(Completion(self._id, call, error=error))
            else:
                self._done.put(Completion(self._id, call, receipt, payload))
            del item, call, payloads  # a chunk must not live on until the next call
        if self._worker is not None:
            self._worker.close()

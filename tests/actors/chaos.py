"""Kills processes at random moments while videos are tracked, and watches that no reader ever sees half of a chunk."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import ray
from ray.exceptions import RayError

from actors.coordinator import find_coordinator
from storage.project_store import ProjectStore
from tam_dist.coordination.calls import Role

#: What may be killed; "two" are two workers in the same instant.
WORKERS = (*(role.value for role in Role), "two")


class Killer:
    """Kills ``kills`` processes of the run in ``namespace``, one every ``pause`` seconds (least, most), in a thread.

    ``kinds`` are drawn in turn, so that each of them dies; "driver" and "node" call ``kill_driver`` and
    ``kill_node``.
    """

    def __init__(
        self,
        namespace: str,
        kills: int,
        kinds: Sequence[str],
        *,
        pause: tuple[float, float],
        seed: int,
        kill_driver: Callable[[], None] = lambda: None,
        kill_node: Callable[[], None] = lambda: None,
    ) -> None:
        self._namespace = namespace
        self._kills = kills
        self._kinds = kinds
        self._pause = pause
        self._random = random.Random(seed)
        self._special = {"driver": kill_driver, "node": kill_node}
        self._stop = threading.Event()
        self.killed: Counter[str] = Counter()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    @property
    def done(self) -> bool:
        return self.killed.total() >= self._kills

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        order: list[str] = []
        while not self.done and not self._stop.wait(self._random.uniform(*self._pause)):
            order = order or self._random.sample(self._kinds, len(self._kinds))
            try:
                if self._kill(order[-1]):
                    self.killed[order.pop()] += 1
            except (RayError, TimeoutError, ProcessLookupError):
                continue  # whoever would have told the process ids is being restarted itself
            except Exception as error:  # a killer that failed unseen let a run pass in which nothing was killed
                self._failure = error
                return

    def _kill(self, kind: str) -> bool:
        if kind in self._special:
            self._special[kind]()
            return True
        coordinator = find_coordinator(self._namespace)
        if coordinator is None:
            return False
        pids = self._pids(coordinator, kind)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def _pids(self, coordinator: Any, kind: str) -> list[int]:
        if kind == "coordinator":
            return [ray.get(coordinator.pid.remote(), timeout=10)]
        stats = ray.get(coordinator.stats.remote(), timeout=15)
        pids = [found.pid for worker, found in stats.items() if kind in ("two", worker.role.value)]
        count = 2 if kind == "two" else 1
        return self._random.sample(pids, count) if len(pids) >= count else []


class Reader:
    """Reads committed chunks of the projects in ``folder`` over and over, in a thread, and notes those that are torn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.torn: list[str] = []
        self.reads = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while not self._stop.wait(0.05):
            for project in self._folder.iterdir():
                if ProjectStore.exists(project):
                    self._read(project)

    def _read(self, project: Path) -> None:
        store = ProjectStore.open(project, write=False)
        committed = sorted(store.committed)
        if not committed:
            return
        chunk = committed[-1]
        self.reads += 1
        rows = store.manifest.chunk_frames(chunk)
        if not store.is_intact(chunk) and store.record(chunk) is not None:
            self.torn.append(f"{project.name} chunk {chunk}")
        assert len(np.asarray(store.labels[rows.start : rows.stop])) == len(rows)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """For tests that wait for another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about within {seconds:.0f} s")
        time.sleep(0.05)

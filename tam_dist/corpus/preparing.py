"""Looking at a corpus's videos while those that are ready are tracked already.

All of them first would keep the GPUs waiting: ten thousand films' indices take hours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Event
from types import TracebackType
from typing import Self

from storage.manifest import Manifest
from tam_dist.coordination.video import VideoJob
from tam_dist.corpus.lines import CorpusLine

#: Videos looked at at the same time; it is the disk's or the network's time that is saved.
PREPARERS = 4
#: Seconds between two looks at ``stop``.
_POLL = 0.2

#: What looking at one video gave: its job; what its project is about, where that is done; or what is wrong with it.
Found = VideoJob | Manifest | Exception


class Preparation:
    """A :class:`tam_dist.coordination.feed.JobFeed` of a corpus; use it as a context, which ends its threads.

    ``look`` is called with name and line in threads of its own; ``tell`` hears of what each gave, in the thread that calls
    :meth:`take`. Once ``stop`` is set nothing more comes.
    """

    def __init__(
        self,
        named: Mapping[str, CorpusLine],
        look: Callable[[str, CorpusLine], VideoJob | Manifest],
        tell: Callable[[str, Found], None],
        stop: Event,
    ) -> None:
        self._tell = tell
        self._stop = stop
        self._found: SimpleQueue[tuple[str, Future[VideoJob | Manifest]]] = SimpleQueue()
        self._pool = ThreadPoolExecutor(PREPARERS, thread_name_prefix="prepare")
        self._left = len(named)
        for name, line in named.items():
            future = self._pool.submit(look, name, line)
            future.add_done_callback(lambda done, name=name: self._found.put((name, done)))  # type: ignore[misc]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._left = 0
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def expected(self) -> int:
        return 0 if self._stop.is_set() else self._left

    def take(self, timeout: float | None) -> list[VideoJob]:
        deadline = None if timeout is None else time.monotonic() + timeout
        jobs: list[VideoJob] = []
        while self.expected:
            left = _POLL if deadline is None else min(_POLL, deadline - time.monotonic())
            try:
                name, future = self._found.get(timeout=0 if jobs else max(0.0, left))
            except Empty:
                if jobs or left <= 0:
                    break
                continue
            self._left -= 1
            error = future.exception()
            found = error if isinstance(error, Exception) else future.result()  # what is no Exception is raised here
            self._tell(name, found)
            if isinstance(found, VideoJob):
                jobs.append(found)
        return jobs

"""How busy each kind of worker is, and what waits before it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tam_dist.coordination.calls import Role, WorkerId
from tam_dist.coordination.events import (
    CallFinished,
    CallSubmitted,
    ChunkDecoded,
    ChunkTracked,
    Event,
    Listener,
    StageLoad,
    StagesMeasured,
    VideoEnded,
    VideoReplanned,
    VideoReplayed,
    VideoStarted,
    WorkerDied,
)

#: Busy shares are those of the last so many seconds.
WINDOW_SECONDS = 30.0
#: A propagator that stands idle for longer than this between two calls has stalled: its videos wait for something else.
STALL_SECONDS = 0.1
#: Between two measurements that a :class:`StageTeller` tells.
TELL_SECONDS = 1.0


@dataclass
class _WorkerAccount:
    depth: int = 0
    since: float = 0.0  # of the present state: when it became busy or idle
    seconds: float = 0.0
    calls: int = 0
    dead: bool = False
    recent: deque[tuple[float, float]] = field(default_factory=deque)  # (end, seconds)


class StageAccounts:
    """A listener that keeps the books of all workers. Its memory is bounded by the window, not by the run's length.

    ``clock`` gives seconds, as ``time.monotonic``. Not thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start: float | None = None
        self._workers: dict[WorkerId, _WorkerAccount] = {}
        self._held: dict[str, dict[int, int]] = defaultdict(dict)
        self.stalls = 0
        #: Workers that died, by role.
        self.restarts: Counter[Role] = Counter()

    def __call__(self, event: Event) -> None:
        match event:
            case CallSubmitted():
                self._submitted(event.worker)
            case CallFinished():
                self._finished(event.worker, event.seconds)
            case WorkerDied():
                self._died(event.worker)
            case ChunkDecoded():
                self._held[event.video][event.chunk] = event.bytes
            case ChunkTracked():
                self._held[event.video].pop(event.chunk, None)
            case VideoStarted() | VideoReplayed() | VideoReplanned() | VideoEnded():
                self._held.pop(event.video, None)

    @property
    def bytes_in_flight(self) -> int:
        """Of decoded frames that are not tracked yet."""
        return sum(sum(chunks.values()) for chunks in self._held.values())

    def loads(self) -> tuple[StageLoad, ...]:
        """As of now, in the order of the data flow; stages without a worker so far have zeros."""
        now = self._clock()
        return tuple(self._load(role, now) for role in (Role.DECODER, Role.PROPAGATOR, Role.REFINER, Role.WRITER))

    def _submitted(self, worker: WorkerId) -> None:
        now = self._clock()
        self._start = now if self._start is None else self._start
        account = self._workers.setdefault(worker, _WorkerAccount())
        if account.depth == 0:
            if worker.role is Role.PROPAGATOR and account.calls and now - account.since > STALL_SECONDS:
                self.stalls += 1
            account.since = now
        account.depth += 1

    def _finished(self, worker: WorkerId, seconds: float) -> None:
        now = self._clock()
        account = self._workers.setdefault(worker, _WorkerAccount(since=now))
        account.depth = max(account.depth - 1, 0)  # it may have been submitted before anybody listened
        account.since = now
        account.dead = account.dead and not seconds
        account.seconds += seconds
        account.calls += 1
        account.recent.append((now, seconds))
        while account.recent[0][0] < now - WINDOW_SECONDS:
            account.recent.popleft()

    def _died(self, worker: WorkerId) -> None:
        """Told once for each call that was lost; a worker that has not answered since can't have died again."""
        account = self._workers.setdefault(worker, _WorkerAccount(since=self._clock()))
        self.restarts[worker.role] += not account.dead
        account.dead = True

    def _load(self, role: Role, now: float) -> StageLoad:
        accounts = [account for worker, account in self._workers.items() if worker.role is role]
        span = min(WINDOW_SECONDS, now - self._start) if self._start is not None else 0.0
        busy = sum(min(_busy_seconds(account, now, span), span) for account in accounts)
        return StageLoad(
            role,
            len(accounts),
            busy / (span * len(accounts)) if accounts and span > 0 else 0.0,
            sum(max(account.depth - 1, 0) for account in accounts),
            sum(account.seconds for account in accounts),
            sum(account.calls for account in accounts),
        )


def _busy_seconds(account: _WorkerAccount, now: float, span: float) -> float:
    """Within the last ``span`` seconds, the call under way included: a step on a CPU may take longer than the window."""
    finished = sum(min(seconds, end - (now - span)) for end, seconds in account.recent if end > now - span)
    return finished + (now - account.since if account.depth else 0.0)


class StageTeller:
    """Stands between a scheduler and a listener who wants measurements, not calls: keeps the accounts, passes on all events
    but those of single calls, and now and then, and before a video's end, tells how busy the stages are.
    """

    def __init__(self, listener: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self.accounts = StageAccounts(clock)
        self._listener = listener
        self._clock = clock
        self._due = clock()

    def __call__(self, event: Event) -> None:
        self.accounts(event)
        if self._clock() >= self._due or isinstance(event, VideoEnded):
            self.measure()
        if not isinstance(event, CallSubmitted | CallFinished):
            self._listener(event)

    def measure(self) -> None:
        """Tell it now."""
        self._due = self._clock() + TELL_SECONDS
        self._listener(StagesMeasured(self.accounts.loads(), self.accounts.bytes_in_flight))

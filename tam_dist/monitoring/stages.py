"""How busy each kind of worker is, what waits before it, and which of them holds the others up."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tam_dist.coordination.calls import Role, WorkerId
from tam_dist.coordination.events import (
    CallFinished,
    CallSubmitted,
    ChunkDecoded,
    ChunkTracked,
    Event,
    VideoEnded,
    VideoReplayed,
    VideoStarted,
    WorkerDied,
)

#: Busy shares are those of the last so many seconds.
WINDOW_SECONDS = 30.0
#: A propagator that stands idle for longer than this between two calls has stalled: its videos wait for something else.
STALL_SECONDS = 0.1
#: From this busy share on a stage is saturated.
SATURATED = 0.8

_STAGE = {
    Role.DECODER: "decoding",
    Role.PROPAGATOR: "tracking (XMem)",
    Role.REFINER: "refining (SAM)",
    Role.WRITER: "writing",
}
_REMEDY = {
    Role.DECODER: "raise cluster.decoders",
    Role.PROPAGATOR: "raise cluster.propagators, with a GPU for each",
    Role.REFINER: "raise cluster.refiners",
    Role.WRITER: "raise cluster.writers",
}


@dataclass(frozen=True)
class StageLoad:
    """One kind of worker. ``workers`` counts those used so far; ``busy`` is their busy share 0..1 of the last
    :data:`WINDOW_SECONDS`; ``queued`` counts the calls that wait behind the ones under way; ``seconds`` and ``calls`` are
    totals.
    """

    role: Role
    workers: int
    busy: float
    queued: int
    seconds: float
    calls: int


@dataclass(frozen=True)
class Bottleneck:
    """``role`` is None where no stage is saturated; ``sentence`` says it to people, with what would help."""

    role: Role | None
    sentence: str


def bottleneck(stages: Sequence[StageLoad]) -> Bottleneck:
    """The saturated stage with the highest busy share; the longer queue decides between equals.

    >>> bottleneck([StageLoad(Role.DECODER, 2, 0.95, 3, 10, 50), StageLoad(Role.PROPAGATOR, 1, 0.4, 0, 4, 50)]).sentence
    'The bottleneck is decoding (95 % busy, 3 calls wait): raise cluster.decoders.'
    """
    if not any(stage.calls for stage in stages):
        return Bottleneck(None, "Nothing has been worked on yet.")
    top = max(stages, key=lambda stage: (round(stage.busy, 2), stage.queued))
    share = f"{top.busy:.0%}".replace("%", " %")
    if top.busy < SATURATED:
        return Bottleneck(
            None,
            f"No stage is saturated (the busiest, {_STAGE[top.role]}, is {share} busy): "
            "more videos at once would use the workers better, raise cluster.sessions_per_propagator.",
        )
    wait = "1 call waits" if top.queued == 1 else f"{top.queued} calls wait"
    return Bottleneck(top.role, f"The bottleneck is {_STAGE[top.role]} ({share} busy, {wait}): {_REMEDY[top.role]}.")


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
            case VideoStarted() | VideoReplayed() | VideoEnded():
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

"""Holds XMem and the tracking sessions of its videos."""

from __future__ import annotations

from dataclasses import replace

from tam_dist.config import Config
from tam_dist.coordination.calls import (
    Call,
    CloseSession,
    Learn,
    OpenSession,
    Payload,
    Receipt,
    Resume,
    Snapshot,
    Step,
    StepReceipt,
    Update,
)
from tam_dist.errors import WorkerDiedError
from tam_dist.tracking.asked import Asked
from tam_dist.tracking.opening import open_models
from tam_dist.tracking.seeds import SeededSessions
from tam_dist.tracking.session import TrackingSession
from tam_dist.types import StepResult
from tam_dist.workers.base import Stopwatch, unexpected


class PropagatorWorker:
    """Loads the network once; the sessions of the videos assigned to it are known by their generations."""

    def __init__(self, config: Config) -> None:
        self._seeded = SeededSessions(open_models(config))
        self._sessions: dict[int, TrackingSession] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call:
            case OpenSession():
                references = [each for chunk in payloads[1:] for each in chunk]
                self._sessions[call.generation] = self._seeded.begin(call.video, payloads[0], references)
                return Receipt(watch.seconds), None
            case Step() | Resume():
                session = self._session(call)
                result = session.step(payloads[0]) if isinstance(call, Step) else session.resume(payloads[0])
                if call.snapshot and result.chunk is not None:
                    result = replace(result, checkpoint=session.snapshot())
                return StepReceipt(watch.seconds, finished=result.chunk is not None), result
            case Snapshot():
                snapshot = self._session(call).snapshot()
                return Receipt(watch.seconds), StepResult(checkpoint=snapshot)
            case Update():
                asked: Asked = payloads[0]
                self._session(call).update(asked.spec_of(call.plan))
                return Receipt(watch.seconds), None
            case Learn():
                self._session(call).learn([each for found in payloads for each in found])
                return Receipt(watch.seconds), None
            case CloseSession():
                self._sessions.pop(call.generation, None)
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def abandon(self, generation: int) -> None:
        session = self._sessions.get(generation)
        if session is not None:
            session.abandon()

    def close(self) -> None:
        self._sessions.clear()
        self._seeded.clear()

    def _session(self, call: Call) -> TrackingSession:
        """The call's session. A call that reaches a restarted worker must not run on an empty state: the
        recurrent tracker would go on without its memory and give wrong masks without any error.
        """
        session = self._sessions.get(call.generation)
        if session is None:
            raise WorkerDiedError(f"The session of {call.video} was lost with its propagator.", running=False)
        return session

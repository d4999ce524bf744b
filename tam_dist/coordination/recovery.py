"""What becomes of calls that are lost with their worker or fail: the middle one of the schedule's three layers.

Calls whose worker keeps nothing are submitted again; a pass whose session is gone is replayed from the newest checkpoint; a
project about which nothing is certain any more is opened again. What dies on the same chunk again and again sets its video
aside.
"""

from __future__ import annotations

from dataclasses import replace

from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    Decode,
    Encode,
    KeepShots,
    OpenPass,
    OpenProject,
    OpenSession,
    Refer,
    Role,
    Scan,
    Segment,
    WorkerId,
    Write,
)
from tam_dist.coordination.events import (
    SessionRef,
    VideoReplayed,
    WorkerDied,
)
from tam_dist.coordination.passkeeping import PassKeeper
from tam_dist.coordination.video import PassRun, VideoRun, VideoState
from tam_dist.errors import PayloadLostError, TamDistError, WorkerDiedError


class Recovery(PassKeeper):
    """Handles the errors of calls."""

    def _on_error(self, run: VideoRun, each: PassRun | None, call: Call, worker: WorkerId, error: Exception) -> None:
        died = isinstance(error, WorkerDiedError)
        if died:
            self._tell(WorkerDied(worker, call.video))
        if isinstance(error, WorkerDiedError | PayloadLostError):
            if not self._too_many_deaths(run, each, call, error):
                self._recover(run, each, call, worker, died=died)
                return
            error = _set_aside(run, each, call, worker)
        self._fail(run, each, call, error)

    def _too_many_deaths(self, run: VideoRun, each: PassRun | None, call: Call, error: Exception) -> bool:
        """Counts by chunk. A call that merely waited at a worker which died on another one is not to blame."""
        if isinstance(error, WorkerDiedError) and not error.running:
            return False
        chunk = _chunk_of(run, each, call)
        run.deaths[chunk] += 1
        return run.deaths[chunk] >= self._config.cluster.max_deaths_per_chunk

    def _recover(self, run: VideoRun, each: PassRun | None, call: Call, worker: WorkerId, *, died: bool) -> None:
        closing = run.state is VideoState.CLOSING
        half_filled = isinstance(call, Write) and call.backward  # the masks filled into may be gone with those filled in
        asked_again = Scan | KeepShots | Decode | Segment | Refer | OpenProject | OpenPass | Encode | Write
        repeatable = Encode | Write | CloseProject if closing else asked_again
        if died and isinstance(call, repeatable) and not half_filled:
            self._repeat(run, each, call)
        elif closing:
            if each is not None and isinstance(call, Encode | Write):  # lost, and the video ends before they are made again
                each.writing.pop(call.chunk, None)
                self._finish_closing(run)
        elif each is None or (isinstance(call, OpenPass | OpenSession) and not died) or (died and half_filled):
            self._restart(run, worker.role)
        else:
            self._replay(run, each, worker.role)

    def _repeat(self, run: VideoRun, each: PassRun | None, call: Call) -> None:
        """Submit a call again whose worker keeps nothing that later calls depend on; writing is idempotent."""
        if isinstance(call, Segment) and each is not None:
            self._ask_refiner(each, call)
        elif isinstance(call, Refer) and call.frames in run.wanted:
            self._submit(self._assignment.refiner(), call, run.reading[call.chunk][1], run.asked)
        elif isinstance(call, Scan):
            self._submit_scan(run, call)
        elif isinstance(call, Decode | Refer) and each is None:  # by the time it is there it may be wanted again
            self._decode_reference(run, call.chunk)
        elif isinstance(call, Encode) and each is not None:
            self._write(run, each, call.chunk, each.writing[call.chunk])
        elif isinstance(call, Decode) and each is not None:
            self._give_decoder(run, each)
            self._submit(each.decoder, replace(call, lane=each.lane))
        else:
            place = run.place if each is None else each.propagator
            run.writer = self._assignment.writer(run, place, self._active())
            payloads = [run.asked] if isinstance(call, OpenPass) else []
            if isinstance(call, Write) and each is not None:
                payloads = [each.writing[call.chunk]]
            self._submit(run.writer, call, *payloads)

    def _replay(self, run: VideoRun, each: PassRun, because: Role) -> None:
        """Track again from the newest checkpoint; where no other propagator has a place, once one has."""
        ref = SessionRef(each.plan, each.generation)
        self._tell(VideoReplayed(run.job.project, max(each.next_chunk, 0), because, ref))
        self._forget_session(run, each)
        del run.open[each.generation]
        if run.stopping or not self._open_pass(run, each, each.propagator):
            each.begin(next(self._generations))  # nothing under way counts any more
            run.waiting.insert(0, each)
        self._settle(run)

    def _restart(self, run: VideoRun, because: Role) -> None:
        """Open the project again and see what is due."""
        self._tell(VideoReplayed(run.job.project, 0, because))
        for each in run.open.values():
            self._forget_session(run, each)
        run.begin(next(self._generations))
        if run.stopping:
            self._close(run, VideoState.STOPPED)
        else:
            self._open(run)

    def _fail(self, run: VideoRun, each: PassRun | None, call: Call, error: Exception) -> None:
        """The first reason counts. What failed is not waited for again: on a full disk the end waited for a write for ever."""
        if isinstance(call, Encode | Write) and each is not None:
            each.writing.pop(call.chunk, None)
        if run.state is not VideoState.CLOSING:
            self._close(run, VideoState.FAILED, error)
        elif isinstance(call, CloseProject):
            self._end(run, VideoState.FAILED, run.error or error)
        elif isinstance(call, Encode | Write):
            run.ending, run.error = VideoState.FAILED, run.error or error
            self._finish_closing(run)


def _chunk_of(run: VideoRun, each: PassRun | None, call: Call) -> int:
    """The chunk that a call works on; ``Decode`` may be ahead of the tracker, ``CloseProject`` comes after the last."""
    if isinstance(call, CloseProject):
        return run.job.spec.chunk_count
    if isinstance(call, Scan):
        return call.start // run.job.spec.chunk_size
    return getattr(call, "chunk", 0 if each is None else min(max(each.next_chunk, 0), run.job.spec.chunk_count - 1))


def _set_aside(run: VideoRun, each: PassRun | None, call: Call, worker: WorkerId) -> TamDistError:
    chunk = _chunk_of(run, each, call)
    first = chunk * run.job.spec.chunk_size
    what = f"on frames {first} to {first + run.frames_of(chunk) - 1}"
    if isinstance(call, CloseProject):
        what = "while the project was being closed"
    return WorkerDiedError(
        f"{run.job.uri}: the {worker.role} died {run.deaths[chunk]} times {what}; the video is set aside, look at the "
        "workers' memory and logs, then resume it."
    )

"""The schedule of many videos over many workers, as plain code without threads, clocks or Ray.

It reacts to completions: each one frees a credit or finishes a piece, and whatever became possible is submitted at once.
Three rules give the guarantees:

* **Credits.** A video has at most ``credits.decoded_chunks`` chunks decoded ahead, one chunk with the tracker and
  ``credits.writes`` being written, so memory does not depend on a video's length.
* **Run until it must wait.** A step that needs the segmentation model returns; its video waits for the refiner while the
  propagator takes another video's step. (Measured with two videos, 20 ms a frame and 150 ms of SAM every eighth: the GPU
  was used 93 % of the time, against 51 % when the actor itself waits.)
* **Replay from a checkpoint, never retry.** A recurrent tracker whose step is retried on an empty state gives wrong masks
  without any error. So a lost step ends the session's generation: the next one is opened from the newest checkpoint and
  tracks again from there; stale answers are known by their generation, which no other session ever has, and dropped.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Sequence

from tam_dist.config import Config
from tam_dist.coordination.assignment import Assignment
from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    CloseSession,
    CloseVideo,
    Completion,
    Decode,
    Executor,
    OpenProject,
    OpenSession,
    Payload,
    ProjectReceipt,
    Resume,
    Role,
    Segment,
    Snapshot,
    Step,
    StepReceipt,
    WorkerId,
    Write,
)
from tam_dist.coordination.events import (
    CallFinished,
    CallSubmitted,
    ChunkCommitted,
    ChunkDecoded,
    ChunkTracked,
    Event,
    Listener,
    SegmentationAsked,
    VideoEnded,
    VideoReplayed,
    VideoStarted,
    WorkerDied,
)
from tam_dist.coordination.video import FINAL, VideoJob, VideoRun, VideoState
from tam_dist.errors import PayloadLostError, TamDistError, WorkerDiedError


class Scheduler:
    """Drives videos to their end on an executor. Not thread-safe: one thread calls ``poll``; ``stop``, ``cancel``, ``pause``
    and ``unpause`` come from the same thread.
    """

    def __init__(self, executor: Executor, config: Config, listener: Listener | None = None) -> None:
        self._executor = executor
        self._config = config
        self._listeners: list[Listener] = [] if listener is None else [listener]
        self._runs: dict[str, VideoRun] = {}
        self._waiting: list[tuple[int, int, VideoRun]] = []  # a heap: the longest first, then in order of arrival
        self._added = 0
        self._started: dict[str, VideoRun] = {}  # and not ended; a corpus has many more that wait or are done
        self._generations = itertools.count(1)
        self._assignment = Assignment(executor, config.cluster.sessions_per_propagator)

    # --- what callers say ------------------------------------------------------------------------------------------------

    def add(self, job: VideoJob) -> None:
        """Queue a video. The longest waiting video starts first where several are added before the first ``poll``."""
        if job.project in self._runs and self._runs[job.project].state not in FINAL:
            raise TamDistError(f"{job.project} is being tracked already; wait for it or cancel it.")
        run = self._runs[job.project] = VideoRun(job)
        self._added += 1
        heapq.heappush(self._waiting, (-job.spec.frame_count, self._added, run))

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def stop(self, videos: Collection[str] | None = None) -> None:
        """Finish the chunks under way of ``videos`` (all, if None), save where each is, then end it as ``stopped``."""
        for run in [r for r in self._runs.values() if videos is None or r.job.project in videos]:
            run.stopping = True
            if run.state is VideoState.WAITING:
                self._end(run, VideoState.STOPPED)
            elif run.state is VideoState.STARTING and run.propagator is None:
                self._close(run, VideoState.STOPPED)  # it waits for a place, with nothing to be saved
            else:
                self._advance(run)

    def cancel(self, video: str) -> None:
        """End one video; what is committed stays. One that has ended or is about to keeps the end it has: a cancellation that
        came while a video was being closed left "done" in its events and "cancelled" on disk.
        """
        run = self._runs[video]
        if run.state is VideoState.WAITING:
            self._end(run, VideoState.CANCELLED)
        elif run.state not in FINAL and run.state is not VideoState.CLOSING:
            self._close(run, VideoState.CANCELLED)

    def pause(self, video: str) -> None:
        """Submit no further chunk of the video until ``unpause``; its memory stays on the propagator."""
        self._runs[video].paused = True

    def unpause(self, video: str) -> None:
        self._runs[video].paused = False
        self._advance(self._runs[video])

    @property
    def videos(self) -> Sequence[VideoRun]:
        return tuple(self._runs.values())

    @property
    def busy(self) -> bool:
        return bool(self._started) or any(run.state is VideoState.WAITING for _, _, run in self._waiting)

    # --- the loop ----------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Poll until every video has ended."""
        while self.busy:
            self.poll(None)

    def poll(self, timeout: float | None) -> None:
        """Start what can start, wait for completions (at most ``timeout`` seconds), and react to them."""
        self._start_waiting()
        if not self.busy:
            return
        for completion in self._executor.wait(timeout):
            self._handle(completion)

    def _start_waiting(self) -> None:
        """Those that lost their propagator first: they have begun, and hold their locks."""
        for run in self._active():
            if run.state is VideoState.STARTING and run.propagator is None and not self._open(run):
                return
        while self._waiting:
            run = self._waiting[0][2]
            if run.state is VideoState.WAITING and not self._open(run):
                return
            heapq.heappop(self._waiting)  # started, or cancelled or stopped meanwhile

    def _open(self, run: VideoRun, own: WorkerId | None = None) -> bool:
        """Begin a session on a propagator that has a place, ``own`` where that is as good as others; False if none has."""
        run.propagator = self._assignment.free_propagator(self._active(), own)
        if run.propagator is None:
            return False
        self._started[run.job.project] = run
        run.begin(next(self._generations))
        run.writer = self._assignment.partner(Role.WRITER, run, self._active())
        run.decoder = self._assignment.partner(Role.DECODER, run, self._active())
        self._submit(run.writer, OpenProject(run.job.project, run.generation))
        return True

    def _handle(self, completion: Completion) -> None:
        call = completion.call
        seconds = 0.0 if completion.receipt is None else completion.receipt.seconds
        self._tell(CallFinished(completion.worker, type(call).__name__, seconds))
        run = self._runs[call.video]
        if call.generation != run.generation or run.state in FINAL:
            return
        if completion.error is not None:
            self._on_error(run, call, completion.worker, completion.error)
        elif isinstance(call, CloseProject):
            self._end(run, VideoState(call.state), run.error)
        elif run.state is not VideoState.CLOSING or isinstance(call, Write):
            self._on_answer(call, run, completion)

    # --- answers -------------------------------------------------------------------------------------------------------

    def _on_answer(self, call: Call, run: VideoRun, done: Completion) -> None:
        match call, done.receipt:
            case OpenProject(), ProjectReceipt() as receipt:
                self._on_project(run, receipt, done.payload)
            case OpenSession(), _:
                run.state = VideoState.TRACKING
                self._advance(run)
            case Decode(), _:
                run.decoding.discard(call.chunk)
                run.decoded[call.chunk] = done.payload
                self._tell(ChunkDecoded(call.video, call.chunk, run.bytes_of(call.chunk)))
                self._advance(run)
            case ((Step() | Resume()), StepReceipt(finished=True)):
                self._on_tracked(call, run, done.payload)
            case ((Step() | Resume()), _):
                run.question = done.payload
                self._tell(SegmentationAsked(call.video, call.chunk))
                self._ask_refiner(run, Segment(call.video, run.generation, call.chunk))
            case Segment(), _:
                run.question = None
                resume = Resume(call.video, run.generation, call.chunk, self._snapshot_due(run))
                self._submit(run.propagator, resume, done.payload)
            case Snapshot(), _:
                run.saving = False
                self._write(run, call.chunk, done.payload)
            case Write(), _:
                self._on_written(call, run)

    def _on_project(self, run: VideoRun, receipt: ProjectReceipt, start: Payload) -> None:
        run.opened(receipt.next_chunk, receipt.committed)
        self._tell(VideoStarted(run.job.project, len(run.committed), run.next_chunk, run.frames_done))
        if not run.end:  # nothing is due, also where the newest checkpoint lies before the end
            self._close(run, VideoState.DONE)
        else:
            self._submit(run.propagator, OpenSession(run.job.project, run.generation), start)

    def _on_tracked(self, call: Step | Resume, run: VideoRun, step: Payload) -> None:
        run.current = None
        run.next_chunk = call.chunk + 1
        if call.snapshot:
            run.saved_chunk = run.next_chunk
        self._tell(ChunkTracked(call.video, call.chunk, run.frames_of(call.chunk)))
        self._write(run, call.chunk, step)
        self._advance(run)

    def _on_written(self, call: Write, run: VideoRun) -> None:
        run.writing.pop(call.chunk, None)
        run.deaths.pop(call.chunk, None)
        new = call.chunk not in run.committed
        run.committed.add(call.chunk)
        self._tell(ChunkCommitted(call.video, call.chunk, run.frames_of(call.chunk), run.frames_done, new))
        if run.state is VideoState.CLOSING:
            self._finish_closing(run)
        else:
            self._advance(run)

    # --- what can be done now ------------------------------------------------------------------------------------------

    def _advance(self, run: VideoRun) -> None:
        """Submit whatever the video's credits allow."""
        if run.state is not VideoState.TRACKING:
            return
        if run.finished:
            self._close(run, VideoState.DONE)
        elif run.stopping:
            self._save_and_stop(run)
        elif not run.paused:
            self._decode_ahead(run)
            self._step(run)

    def _decode_ahead(self, run: VideoRun) -> None:
        job = run.job
        for chunk in run.chunks_to_decode(self._config.credits.decoded_chunks):
            run.decoding.add(chunk)
            call = Decode(job.project, run.generation, job.uri, job.reader, job.on_damage, job.spec.chunk_size, chunk)
            self._submit(run.decoder, call)

    def _step(self, run: VideoRun) -> None:
        if run.idle and run.next_chunk in run.decoded and len(run.writing) < self._config.credits.writes:
            run.current = run.decoded.pop(run.next_chunk)
            call = Step(run.job.project, run.generation, run.next_chunk, self._snapshot_due(run))
            self._submit(run.propagator, call, run.current)
            self._decode_ahead(run)

    def _snapshot_due(self, run: VideoRun) -> bool:
        last = run.next_chunk == run.job.spec.chunk_count - 1
        return not last and (run.stopping or (run.next_chunk + 1) % self._config.tracking.checkpoint_every == 0)

    def _ask_refiner(self, run: VideoRun, call: Segment) -> None:
        self._submit(self._assignment.refiner(), call, run.current, run.question)

    def _write(self, run: VideoRun, chunk: int, step: Payload) -> None:
        run.writing[chunk] = step
        self._submit(run.writer, Write(run.job.project, run.generation, chunk), step)

    def _save_and_stop(self, run: VideoRun) -> None:
        if not run.idle or run.writing or run.saving:
            return
        if run.saved_chunk < run.next_chunk:
            run.saved_chunk = run.next_chunk
            run.saving = True
            self._submit(run.propagator, Snapshot(run.job.project, run.generation, run.next_chunk - 1))
        else:
            self._close(run, VideoState.STOPPED)

    # --- ends ----------------------------------------------------------------------------------------------------------

    def _close(self, run: VideoRun, state: VideoState, error: Exception | None = None) -> None:
        """Let the writes in flight finish, then free what the video holds on the workers."""
        run.state, run.ending, run.error = VideoState.CLOSING, state, error
        run.decoded.clear()
        run.current = run.question = None
        self._forget_session(run)
        self._submit(run.decoder, CloseVideo(run.job.project, run.generation))
        self._finish_closing(run)

    def _forget_session(self, run: VideoRun) -> None:
        if run.propagator is not None:
            self._submit(run.propagator, CloseSession(run.job.project, run.generation))

    def _finish_closing(self, run: VideoRun) -> None:
        if not run.writing and run.ending is not None:
            reason = None if run.error is None else str(run.error)
            self._submit(run.writer, CloseProject(run.job.project, run.generation, run.ending.value, reason))

    def _end(self, run: VideoRun, state: VideoState, error: Exception | None = None) -> None:
        run.state, run.error = state, error
        self._started.pop(run.job.project, None)
        self._tell(VideoEnded(run.job.project, state.value, error))

    # --- failures --------------------------------------------------------------------------------------------------------

    def _on_error(self, run: VideoRun, call: Call, worker: WorkerId, error: Exception) -> None:
        died = isinstance(error, WorkerDiedError)
        if died:
            self._tell(WorkerDied(worker, call.video))
        if isinstance(error, WorkerDiedError | PayloadLostError):
            if not self._too_many_deaths(run, call, error):
                self._recover(run, call, worker, died=died)
                return
            error = _set_aside(run, call, worker)
        self._fail(run, call, error)

    def _too_many_deaths(self, run: VideoRun, call: Call, error: Exception) -> bool:
        """Counts by chunk. A call that merely waited at a worker which died on another one is not to blame."""
        if isinstance(error, WorkerDiedError) and not error.running:
            return False
        run.deaths[_chunk_of(run, call)] += 1
        return run.deaths[_chunk_of(run, call)] >= self._config.cluster.max_deaths_per_chunk

    def _recover(self, run: VideoRun, call: Call, worker: WorkerId, *, died: bool) -> None:
        closing = run.state is VideoState.CLOSING
        repeatable = Write | CloseProject if closing else Decode | Segment | OpenProject | Write
        if died and isinstance(call, repeatable):
            self._repeat(run, call)
        elif not closing:
            self._replay(run, worker.role)
        elif isinstance(call, Write):  # its masks are lost, and the video ends before they are made again
            run.writing.pop(call.chunk, None)
            self._finish_closing(run)

    def _repeat(self, run: VideoRun, call: Call) -> None:
        """Submit a call again whose worker keeps nothing that later calls depend on; writing is idempotent."""
        if isinstance(call, Segment):
            self._ask_refiner(run, call)
        elif isinstance(call, Decode):
            run.decoder = self._assignment.partner(Role.DECODER, run, self._active())
            self._submit(run.decoder, call)
        else:
            run.writer = self._assignment.partner(Role.WRITER, run, self._active())
            self._submit(run.writer, call, *([run.writing[call.chunk]] if isinstance(call, Write) else []))

    def _replay(self, run: VideoRun, because: Role) -> None:
        """Track again from the newest checkpoint; where no other propagator has a place, once one has."""
        self._tell(VideoReplayed(run.job.project, run.next_chunk, because))
        self._forget_session(run)
        own, run.propagator = run.propagator, None
        run.begin(next(self._generations))  # also where it has to wait: nothing under way counts any more
        self._open(run, own)

    def _fail(self, run: VideoRun, call: Call, error: Exception) -> None:
        """The first reason counts. What failed is not waited for again: on a full disk the end waited for a write for ever."""
        if isinstance(call, Write):
            run.writing.pop(call.chunk, None)
        if run.state is not VideoState.CLOSING:
            self._close(run, VideoState.FAILED, error)
        elif isinstance(call, CloseProject):
            self._end(run, VideoState.FAILED, run.error or error)
        elif isinstance(call, Write):
            run.ending, run.error = VideoState.FAILED, run.error or error
            self._finish_closing(run)

    # --- small things --------------------------------------------------------------------------------------------------

    def _active(self) -> list[VideoRun]:
        return list(self._started.values())

    def _submit(self, worker: WorkerId | None, call: Call, *payloads: Payload) -> None:
        assert worker is not None
        self._tell(CallSubmitted(worker, type(call).__name__))
        self._executor.submit(worker, call, *payloads)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


def _chunk_of(run: VideoRun, call: Call) -> int:
    """The chunk that a call works on; ``Decode`` may be ahead of the tracker, ``CloseProject`` comes after the last."""
    if isinstance(call, CloseProject):
        return run.job.spec.chunk_count
    return getattr(call, "chunk", run.next_chunk)


def _set_aside(run: VideoRun, call: Call, worker: WorkerId) -> TamDistError:
    chunk = _chunk_of(run, call)
    first = chunk * run.job.spec.chunk_size
    what = f"on frames {first} to {first + run.frames_of(chunk) - 1}"
    if isinstance(call, CloseProject):
        what = "while the project was being closed"
    return WorkerDiedError(
        f"{run.job.uri}: the {worker.role} died {run.deaths[chunk]} times {what}; the video is set aside, look at the "
        "workers' memory and logs, then resume it."
    )

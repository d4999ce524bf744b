"""The schedule of many videos over many workers, as plain code without threads, clocks or Ray.

It reacts to completions: each one frees a credit or finishes a piece, and whatever became possible is submitted at once.
Three rules give the guarantees:

* **Credits.** A pass has at most ``credits.decoded_chunks`` chunks decoded ahead, one chunk with the tracker and
  ``credits.writes`` being written, and there are only as many passes at a time as propagators have places, so memory does
  not depend on a video's length.
* **Run until it must wait.** A step that needs the segmentation model returns; its pass waits for the refiner while the
  propagator takes another's step. (Measured with two videos, 20 ms a frame and 150 ms of SAM every eighth: the GPU
  was used 93 % of the time, against 51 % when the actor itself waits.)
* **Replay from a checkpoint, never retry.** A recurrent tracker whose step is retried on an empty state gives wrong masks
  without any error. So a lost step ends the session's generation: the next one is opened from the newest checkpoint and
  tracks again from there; stale answers are known by their generation, which no other session ever has, and dropped.

A video's passes run at the same time on any propagators; those of videos that have begun take free places before further
videos do.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace

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
    KeepShots,
    Learn,
    OpenPass,
    OpenProject,
    OpenSession,
    PassReceipt,
    Payload,
    ProjectReceipt,
    Receipt,
    Refer,
    Replan,
    Resume,
    Role,
    Scan,
    ScanReceipt,
    Segment,
    Snapshot,
    Step,
    StepReceipt,
    Update,
    WorkerId,
    Write,
    WriteReceipt,
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
    SessionRef,
    ShotsScanned,
    VideoEnded,
    VideoReplanned,
    VideoReplayed,
    VideoStarted,
    WorkerDied,
)
from tam_dist.coordination.video import FINAL, PassRun, VideoJob, VideoRun, VideoState
from tam_dist.errors import PayloadLostError, TamDistError, WorkerDiedError
from tam_dist.tracking.passes import Pass


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
            elif run.state is VideoState.STARTING and run.place is None:
                self._close(run, VideoState.STOPPED)  # it waits for a place, with nothing to be saved
            else:
                self._advance_all(run)

    def cancel(self, video: str) -> None:
        """End one video; what is committed stays. One that has ended or is about to keeps the end it has: a cancellation that
        came while a video was being closed left "done" in its events and "cancelled" on disk.
        """
        run = self._runs[video]
        if run.state is VideoState.WAITING:
            self._end(run, VideoState.CANCELLED)
        elif run.state not in FINAL and run.state is not VideoState.CLOSING:
            self._close(run, VideoState.CANCELLED)

    def refresh(self, video: str) -> None:
        """Take up what the project's log has that is new. What is under way and still as it is asked for goes on."""
        run = self._runs.get(video)
        if run is None:
            return
        if run.state is VideoState.DONE:
            self.add(run.job)
        elif run.state is VideoState.TRACKING and not run.replanning and not run.stopping:
            self._replan(run)
        elif run.state not in FINAL:
            run.outdated = True

    def pause(self, video: str) -> None:
        """Submit no further chunk of the video until ``unpause``; its memory stays on the propagators."""
        self._runs[video].paused = True

    def unpause(self, video: str) -> None:
        self._runs[video].paused = False
        self._advance_all(self._runs[video])

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
        """Passes of videos that have begun first, and of these the ones that lost their propagator: they hold their locks."""
        for run in self._active():
            if run.state is VideoState.STARTING and run.place is None and not self._open(run):
                return
            while run.can_open:
                if not self._open_pass(run, run.waiting[0]):
                    return
                run.waiting.pop(0)
        while self._waiting:
            run = self._waiting[0][2]
            if run.state is VideoState.WAITING and not self._open(run):
                return
            heapq.heappop(self._waiting)  # started, or cancelled or stopped meanwhile

    def _open(self, run: VideoRun) -> bool:
        """Take a place with a propagator and open the project; False if there is none."""
        place = self._assignment.free_propagator(self._active())
        if place is None:
            return False
        self._started[run.job.project] = run
        run.begin(next(self._generations))
        run.place = place
        run.writer = self._assignment.writer(run, place, self._active())
        self._submit(run.writer, OpenProject(run.job.project, run.generation))
        return True

    def _open_pass(self, run: VideoRun, each: PassRun, own: WorkerId | None = None) -> bool:
        """Begin a session on a propagator that has a place, ``own`` where that is as good as others; False if none has."""
        place = self._assignment.free_propagator(self._active(), own)
        if place is None:
            return False
        each.begin(next(self._generations))
        each.propagator = place
        self._give_decoder(run, each)
        run.open[each.generation] = each
        self._submit(run.writer, OpenPass(run.job.project, each.generation, each.plan), run.asked)
        return True

    def _give_decoder(self, run: VideoRun, each: PassRun) -> None:
        each.decoder = self._assignment.decoder(each, self._active())
        run.decoders.add(each.decoder)
        others = {o.lane for o in run.open.values() if o is not each and o.decoder == each.decoder}
        each.lane = next(lane for lane in itertools.count() if lane not in others)

    def _handle(self, completion: Completion) -> None:
        call = completion.call
        seconds = 0.0 if completion.receipt is None else completion.receipt.seconds
        self._tell(CallFinished(completion.worker, type(call).__name__, seconds))
        run = self._runs[call.video]
        each = run.open.get(call.generation)
        if run.state in FINAL or (each is None and call.generation != run.generation):
            return
        if completion.error is not None:
            self._on_error(run, each, call, completion.worker, completion.error)
        elif isinstance(call, CloseProject):
            self._end(run, VideoState(call.state), run.error)
        elif isinstance(call, OpenProject) and isinstance(completion.receipt, ProjectReceipt):
            if run.state is VideoState.STARTING:
                self._on_project(run, completion.receipt, completion.payload)
        elif each is None and isinstance(call, Scan | KeepShots):
            if run.state is VideoState.STARTING:
                self._on_scan(call, run, completion.receipt)
        elif isinstance(call, Replan) and isinstance(completion.receipt, ProjectReceipt):
            if run.state is VideoState.TRACKING:
                self._on_replanned(run, completion.receipt, completion.payload)
        elif each is None and isinstance(call, Decode | Refer):
            if run.state is VideoState.TRACKING:
                self._on_reference(call, run, completion.payload)
        elif each is not None and (run.state is not VideoState.CLOSING or isinstance(call, Write)):
            self._on_answer(call, run, each, completion)

    # --- answers -------------------------------------------------------------------------------------------------------

    def _on_project(self, run: VideoRun, receipt: ProjectReceipt, asked: Payload) -> None:
        if receipt.unscanned:
            run.unscanned = list(receipt.unscanned)
            self._scan(run)
            return
        run.plan(receipt.passes, receipt.committed)
        run.asked, run.state, run.find_cuts = asked, VideoState.TRACKING, receipt.find_cuts
        run.referring = list(receipt.references)
        self._refer(run)
        if run.referred:
            self._open_first(run)
        if run.all_tracked:
            self._tell(VideoStarted(run.job.project, len(run.committed), run.job.spec.chunk_count, run.frames_done))
        if run.outdated and not run.stopping:
            self._replan(run)
        self._settle(run)

    def _open_first(self, run: VideoRun) -> None:
        """On the propagator whose place was held for it."""
        place, run.place = run.place, None
        if run.waiting and not run.stopping and self._open_pass(run, run.waiting[0], place):
            run.waiting.pop(0)

    def _scan(self, run: VideoRun) -> None:
        """Have all decoders look for cuts; once all are known the project is opened again, and then knows its passes."""
        job = run.job
        decoders = self._executor.workers(Role.DECODER)
        left = sum(stop - start for start, stop in (*run.unscanned, *run.scanning))
        self._tell(ShotsScanned(job.project, job.spec.frame_count - left))
        if run.stopping and not run.scanning:
            self._close(run, VideoState.STOPPED)
        elif not run.unscanned and not run.scanning:
            self._submit(run.writer, OpenProject(job.project, run.generation))
        while run.unscanned and not run.stopping and len(run.scanning) < len(decoders):
            start, stop = run.unscanned.pop(0)
            run.scanning.add((start, stop))
            self._submit_scan(run, Scan(job.project, run.generation, job.uri, job.reader, job.on_damage, start, stop))

    def _submit_scan(self, run: VideoRun, call: Scan) -> None:
        decoders = self._executor.workers(Role.DECODER)
        decoder = decoders[call.start // (call.stop - call.start) % len(decoders)]
        run.decoders.add(decoder)
        self._submit(decoder, call)

    def _on_scan(self, call: Scan | KeepShots, run: VideoRun, receipt: Receipt | None) -> None:
        if isinstance(call, Scan):
            assert isinstance(receipt, ScanReceipt)
            self._submit(run.writer, KeepShots(call.video, run.generation, receipt.found))
        else:
            run.scanning.discard((call.scan.start, call.scan.stop))
            self._scan(run)

    # --- replanning ----------------------------------------------------------------------------------------------------

    def _replan(self, run: VideoRun) -> None:
        """Have the project say anew what is due. No chunk is begun meanwhile, so that what it says holds when it is there."""
        run.replanning, run.outdated = True, False
        under_way = tuple(each.under_way() for each in run.open.values() if each.opened)
        self._submit(run.writer, Replan(run.job.project, run.generation, under_way), run.asked)

    def _on_replanned(self, run: VideoRun, receipt: ProjectReceipt, asked: Payload) -> None:
        going_on = dict(receipt.going_on)
        run.asked, run.replanning = asked, False
        for generation, each in list(run.open.items()):
            if each.opened and each.plan in going_on:
                each.relearn(going_on[each.plan])
                self._submit(each.propagator, Update(run.job.project, generation, each.plan), asked)
            else:
                self._drop(run, each)
        run.plan(receipt.passes, receipt.committed)
        known = {*run.references, *(frames for frames, _ in run.reading.values())}
        run.referring = [frames for frames in receipt.references if frames not in known]
        self._refer(run)
        self._tell(VideoReplanned(run.job.project, run.frames_done))
        if run.outdated and not run.stopping:
            self._replan(run)
        self._advance_all(run)

    def _drop(self, run: VideoRun, each: PassRun) -> None:
        """Let a pass be that is not asked for any more, or otherwise; its chunk under way ends between two frames."""
        if each.propagator is not None and each.opened:
            self._executor.abandon(each.propagator, each.generation)
        each.let_go()
        self._forget_session(run, each)
        del run.open[each.generation]

    # --- references ------------------------------------------------------------------------------------------------------

    def _refer(self, run: VideoRun) -> None:
        """Have the frames decoded that passes refer to; their masks are asked for before any pass begins."""
        waiting = list(run.referring)
        for frames in waiting if not run.stopping else ():
            if len(run.reading) >= self._config.credits.decoded_chunks:
                return
            if frames.chunk in run.reading:
                continue
            run.referring.remove(frames)
            run.reading[frames.chunk] = (frames, None)
            job = run.job
            decoder = self._assignment.decoder(PassRun(Pass(frames.chunk, frames.chunk + 1)), self._active())
            run.decoders.add(decoder)
            size = job.spec.chunk_size
            self._submit(decoder, Decode(job.project, run.generation, job.uri, job.reader, job.on_damage, size, frames.chunk))

    def _on_reference(self, call: Decode | Refer, run: VideoRun, found: Payload) -> None:
        frames, _ = run.reading[call.chunk]
        if isinstance(call, Decode):
            run.reading[call.chunk] = (frames, found)
            self._submit(self._assignment.refiner(), Refer(call.video, run.generation, frames), found, run.asked)
            return
        del run.reading[call.chunk]
        run.references[frames] = found
        self._refer(run)
        if run.referred and run.place is not None:
            self._open_first(run)
        self._advance_all(run)

    def _on_answer(self, call: Call, run: VideoRun, each: PassRun, done: Completion) -> None:
        match call, done.receipt:
            case OpenPass(), PassReceipt() as receipt:
                run.started(each, receipt)
                ref = SessionRef(each.plan, each.generation)
                self._tell(VideoStarted(run.job.project, len(run.committed), each.next_chunk, run.frames_done, ref))
                known = [run.references[frames] for frames in receipt.references]
                self._submit(each.propagator, OpenSession(run.job.project, each.generation), done.payload, *known)
            case OpenSession(), _:
                each.opened = True
                self._advance(run, each)
            case Decode(), _:
                each.decoding.discard(call.chunk)
                each.decoded[call.chunk] = done.payload
                self._tell(ChunkDecoded(call.video, call.chunk, run.bytes_of(call.chunk)))
                self._advance(run, each)
            case ((Step() | Resume()), StepReceipt(finished=True)):
                self._on_tracked(call, run, each, done.payload)
            case ((Step() | Resume()), _):
                each.question = done.payload
                self._tell(SegmentationAsked(call.video, call.chunk))
                self._ask_refiner(each, Segment(call.video, each.generation, call.chunk))
            case Segment(), _:
                each.question = None
                resume = Resume(call.video, each.generation, call.chunk, self._snapshot_due(run, each))
                self._submit(each.propagator, resume, done.payload)
            case Snapshot(), _:
                each.saving = False
                self._write(run, each, call.chunk, done.payload)
            case Write(), WriteReceipt(settled=settled):
                self._on_written(call, run, each, settled=settled)

    def _on_tracked(self, call: Step | Resume, run: VideoRun, each: PassRun, step: Payload) -> None:
        each.current = None
        each.at += 1
        if call.snapshot:
            each.saved = each.at
        self._tell(ChunkTracked(call.video, call.chunk, run.frames_of(call.chunk)))
        if call.chunk in each.plan.kept:
            self._write(run, each, call.chunk, step)
        self._advance(run, each)

    def _on_written(self, call: Write, run: VideoRun, each: PassRun, *, settled: bool) -> None:
        each.writing.pop(call.chunk, None)
        run.deaths.pop(call.chunk, None)
        new = run.stored(each, call.chunk)
        ref = SessionRef(each.plan, each.generation)
        self._tell(ChunkCommitted(call.video, call.chunk, run.frames_of(call.chunk), run.frames_done, new, ref))
        if run.state is VideoState.CLOSING:
            self._finish_closing(run)
            return
        if settled:
            self.refresh(call.video)
        self._advance(run, each)

    # --- what can be done now ------------------------------------------------------------------------------------------

    def _advance_all(self, run: VideoRun) -> None:
        for each in list(run.open.values()):
            self._advance(run, each)
        self._settle(run)

    def _advance(self, run: VideoRun, each: PassRun) -> None:
        """Submit whatever the pass's credits allow."""
        if run.state is not VideoState.TRACKING or not each.opened:
            return
        if each.finished:
            self._submit(each.propagator, CloseSession(run.job.project, each.generation))
            del run.open[each.generation]
            self._settle(run)
        elif run.stopping:
            self._save(run, each)
            self._settle(run)
        elif not run.paused:
            self._decode_ahead(run, each)
            self._step(run, each)

    def _settle(self, run: VideoRun) -> None:
        """End the video where all is tracked, or where it is to stop and all is saved."""
        if run.state is not VideoState.TRACKING or run.replanning:
            return
        if run.all_tracked:
            self._close(run, VideoState.DONE)
        elif run.stopping and all(each.parked for each in run.open.values()):
            self._close(run, VideoState.STOPPED)

    def _decode_ahead(self, run: VideoRun, each: PassRun) -> None:
        job = run.job
        for chunk in each.chunks_to_decode(self._config.credits.decoded_chunks):
            each.decoding.add(chunk)
            wanted = job.spec.chunk_size, chunk, each.lane, run.find_cuts
            call = Decode(job.project, each.generation, job.uri, job.reader, job.on_damage, *wanted)
            self._submit(each.decoder, call)

    def _step(self, run: VideoRun, each: PassRun) -> None:
        ready = each.idle and each.next_chunk in each.decoded and len(each.writing) < self._config.credits.writes
        if ready and not run.replanning and not each.held and self._teach(run, each):
            each.current = each.decoded.pop(each.next_chunk)
            call = Step(run.job.project, each.generation, each.next_chunk, self._snapshot_due(run, each))
            self._submit(each.propagator, call, each.current)
            self._decode_ahead(run, each)

    def _teach(self, run: VideoRun, each: PassRun) -> bool:
        """Give a session the references that it learns before its next chunk; False where they are not there yet."""
        wanted = each.lessons.get(each.next_chunk, ())
        if not all(frames in run.references for frames in wanted):
            return False
        if wanted:
            known = [run.references[frames] for frames in wanted]
            self._submit(each.propagator, Learn(run.job.project, each.generation), *known)
        each.lessons.pop(each.next_chunk, None)
        return True

    def _snapshot_due(self, run: VideoRun, each: PassRun) -> bool:
        if each.at == len(each.plan.chunks) - 1 or each.plan.anchor is not None or each.next_chunk not in each.plan.kept:
            return False
        counted = run.job.spec.chunk_count - 1 - each.next_chunk if each.plan.backward else each.next_chunk
        return run.stopping or (counted + 1) % self._config.tracking.checkpoint_every == 0

    def _ask_refiner(self, each: PassRun, call: Segment) -> None:
        self._submit(self._assignment.refiner(), call, each.current, each.question)

    def _write(self, run: VideoRun, each: PassRun, chunk: int, step: Payload) -> None:
        each.writing[chunk] = step
        self._submit(run.writer, Write(run.job.project, each.generation, chunk, each.plan.backward), step)

    def _save(self, run: VideoRun, each: PassRun) -> None:
        if each.plan.anchor is not None or each.plan.chunks[each.at - 1] not in each.plan.kept:
            each.saved = each.at  # what it made is stored; it starts again where it started
        if each.idle and not each.writing and not each.saving and each.saved < each.at:
            before = each.plan.chunks[each.at - 1]
            each.saved = each.at
            each.saving = True
            self._submit(each.propagator, Snapshot(run.job.project, each.generation, before))

    # --- ends ----------------------------------------------------------------------------------------------------------

    def _close(self, run: VideoRun, state: VideoState, error: Exception | None = None) -> None:
        """Let the writes in flight finish, then free what the video holds on the workers."""
        run.state, run.ending, run.error = VideoState.CLOSING, state, error
        for each in run.open.values():
            each.let_go()
            self._forget_session(run, each)
        run.place = run.asked = None
        run.references.clear()
        run.referring.clear()
        run.reading.clear()
        run.unscanned.clear()
        run.scanning.clear()
        run.waiting.clear()
        run.blocked.clear()
        for decoder in sorted(run.decoders, key=lambda worker: worker.number):
            self._submit(decoder, CloseVideo(run.job.project, run.generation))
        self._finish_closing(run)

    def _forget_session(self, run: VideoRun, each: PassRun) -> None:
        if each.propagator is not None:
            self._submit(each.propagator, CloseSession(run.job.project, each.generation))

    def _finish_closing(self, run: VideoRun) -> None:
        if not run.writing and run.ending is not None:
            reason = None if run.error is None else str(run.error)
            self._submit(run.writer, CloseProject(run.job.project, run.generation, run.ending.value, reason))

    def _end(self, run: VideoRun, state: VideoState, error: Exception | None = None) -> None:
        run.state, run.error = state, error
        run.open.clear()
        self._started.pop(run.job.project, None)
        if run.outdated and state is VideoState.DONE:  # more was asked for while it was being closed
            self.add(run.job)
            return
        self._tell(VideoEnded(run.job.project, state.value, error))

    # --- failures --------------------------------------------------------------------------------------------------------

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
        asked_again = Scan | KeepShots | Decode | Segment | Refer | OpenProject | OpenPass | Write
        repeatable = Write | CloseProject if closing else asked_again
        if died and isinstance(call, repeatable) and not half_filled:
            self._repeat(run, each, call)
        elif closing:
            if each is not None and isinstance(call, Write):  # lost, and the video ends before they are made again
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
        elif isinstance(call, Refer):
            self._submit(self._assignment.refiner(), call, run.reading[call.chunk][1], run.asked)
        elif isinstance(call, Scan):
            self._submit_scan(run, call)
        elif isinstance(call, Decode) and each is None:
            decoder = self._assignment.decoder(PassRun(Pass(call.chunk, call.chunk + 1)), self._active())
            run.decoders.add(decoder)
            self._submit(decoder, call)
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
        if isinstance(call, Write) and each is not None:
            each.writing.pop(call.chunk, None)
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

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
from collections.abc import Collection, Sequence

from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    Completion,
    Decode,
    Encode,
    KeepShots,
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
    Write,
    WriteReceipt,
)
from tam_dist.coordination.events import (
    CallFinished,
    ChunkCommitted,
    ChunkDecoded,
    ChunkTracked,
    SegmentationAsked,
    SessionRef,
    ShotsScanned,
    VideoReplanned,
    VideoStarted,
)
from tam_dist.coordination.recovery import Recovery
from tam_dist.coordination.video import FINAL, PassRun, VideoRun, VideoState


class Scheduler(Recovery):
    """Drives videos to their end on an executor. Not thread-safe: one thread calls ``poll``; ``stop``, ``cancel``, ``pause``
    and ``unpause`` come from the same thread.
    """

    # --- what callers say ------------------------------------------------------------------------------------------------

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
        elif each is not None and (run.state is not VideoState.CLOSING or isinstance(call, Encode | Write)):
            self._on_answer(call, run, each, completion)

    # --- answers -------------------------------------------------------------------------------------------------------

    def _on_project(self, run: VideoRun, receipt: ProjectReceipt, asked: Payload) -> None:
        if receipt.unscanned:
            run.unscanned = list(receipt.unscanned)
            self._scan(run)
            return
        run.plan(receipt.passes, receipt.committed)
        run.asked, run.state, run.find_cuts = asked, VideoState.TRACKING, receipt.find_cuts
        run.wanted, run.referring = frozenset(receipt.references), list(receipt.references)
        self._refer(run)
        if run.referred:
            self._open_first(run)
        if run.all_tracked:
            self._tell_started(run, run.job.spec.chunk_count)
        if run.outdated and not run.stopping:
            self._replan(run)
        self._settle(run)

    def _tell_started(self, run: VideoRun, next_chunk: int, session: SessionRef | None = None) -> None:
        frames = run.job.spec.frame_count
        self._tell(VideoStarted(run.job.project, len(run.committed), next_chunk, run.frames_done, frames, session))

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
                self._send_writes(run, each)
            else:
                self._drop(run, each)
        run.plan(receipt.passes, receipt.committed)
        known = {*run.references, *(frames for frames, _ in run.reading.values())}
        run.wanted = frozenset(receipt.references)
        run.referring = [frames for frames in receipt.references if frames not in known]
        self._refer(run)
        self._tell(VideoReplanned(run.job.project, run.frames_done))
        if run.outdated and not run.stopping:
            self._replan(run)
        self._advance_all(run)

    def _send_writes(self, run: VideoRun, each: PassRun) -> None:
        """Of what was tracked while it was not known whether it is asked for."""
        chunks, each.unsent = each.unsent, []
        for chunk in chunks:
            self._write(run, each, chunk, each.writing[chunk])

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
            self._decode_reference(run, frames.chunk)

    def _on_reference(self, call: Decode | Refer, run: VideoRun, found: Payload) -> None:
        frames, _ = run.reading[call.chunk]
        if isinstance(call, Decode) and frames in run.wanted:
            run.reading[call.chunk] = (frames, found)
            self._submit(self._assignment.refiner(), Refer(call.video, run.generation, frames), found, run.asked)
            return
        del run.reading[call.chunk]
        if isinstance(call, Refer):
            run.references[frames] = found
        self._refer(run)
        if run.referred and run.place is not None:
            self._open_first(run)
        self._advance_all(run)

    def _on_answer(self, call: Call, run: VideoRun, each: PassRun, done: Completion) -> None:
        match call, done.receipt:
            case OpenPass(), PassReceipt() as receipt:
                run.started(each, receipt)
                self._tell_started(run, each.next_chunk, SessionRef(each.plan, each.generation))
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
            case Encode(), _ if run.replanning:
                each.unsent.append(call.chunk)
            case Encode(), _:
                self._commit(run, each, call.chunk, done.payload)
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

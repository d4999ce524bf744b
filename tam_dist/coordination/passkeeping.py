"""What the passes of the videos that have begun can do now, and what ends them: the lowest of the schedule's three layers.

:class:`tam_dist.coordination.recovery.Recovery` builds on it, and :class:`tam_dist.coordination.scheduler.Scheduler` on that,
where the rules are.
"""

from __future__ import annotations

import heapq
import itertools

from tam_dist.config import Config
from tam_dist.coordination.assignment import Assignment
from tam_dist.coordination.calls import (
    Call,
    CloseProject,
    CloseSession,
    CloseVideo,
    Decode,
    Encode,
    Executor,
    Learn,
    OpenPass,
    OpenProject,
    Payload,
    Role,
    Scan,
    Segment,
    Snapshot,
    Step,
    WorkerId,
    Write,
)
from tam_dist.coordination.events import (
    CallSubmitted,
    Event,
    Listener,
    VideoEnded,
)
from tam_dist.coordination.video import FINAL, PassRun, VideoJob, VideoRun, VideoState
from tam_dist.errors import TamDistError
from tam_dist.tracking.passes import Pass


class PassKeeper:
    """Keeps videos and their passes, and submits whatever their credits allow."""

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

    def add(self, job: VideoJob) -> None:
        """Queue a video. The longest waiting video starts first where several are added before the first ``poll``."""
        if job.project in self._runs and self._runs[job.project].state not in FINAL:
            raise TamDistError(f"{job.project} is being tracked already; wait for it or cancel it.")
        run = self._runs[job.project] = VideoRun(job)
        self._added += 1
        heapq.heappush(self._waiting, (-job.spec.frame_count, self._added, run))

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    # --- beginning ----------------------------------------------------------------------------------------------------------

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

    def _decode_reference(self, run: VideoRun, chunk: int) -> None:
        job = run.job
        decoder = self._assignment.decoder(PassRun(Pass(chunk, chunk + 1)), self._active())
        run.decoders.add(decoder)
        wanted = job.on_damage, job.spec.chunk_size, chunk
        self._submit(decoder, Decode(job.project, run.generation, job.uri, job.reader, *wanted))

    def _submit_scan(self, run: VideoRun, call: Scan) -> None:
        decoders = self._executor.workers(Role.DECODER)
        decoder = decoders[call.start // (call.stop - call.start) % len(decoders)]
        run.decoders.add(decoder)
        self._submit(decoder, call)

    # --- what can be done now -----------------------------------------------------------------------------------------------

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
        if run.replanning:  # who knows whether it is still asked for; stored now, it could replace what is
            each.unsent.append(chunk)
            return
        encoder = self._assignment.encoder(run, each)
        if encoder is None:
            self._commit(run, each, chunk)
        else:
            self._submit(encoder, Encode(run.job.project, each.generation, chunk, run.job.spec.chunk_size), step)

    def _commit(self, run: VideoRun, each: PassRun, chunk: int, *encoded: Payload) -> None:
        write = Write(run.job.project, each.generation, chunk, each.plan.backward)
        self._submit(run.writer, write, each.writing[chunk], *encoded)

    def _save(self, run: VideoRun, each: PassRun) -> None:
        if each.plan.anchor is not None or each.plan.chunks[each.at - 1] not in each.plan.kept:
            each.saved = each.at  # what it made is stored; it starts again where it started
        if each.idle and not each.writing and not each.saving and each.saved < each.at:
            before = each.plan.chunks[each.at - 1]
            each.saved = each.at
            each.saving = True
            self._submit(each.propagator, Snapshot(run.job.project, each.generation, before))

    # --- ends ---------------------------------------------------------------------------------------------------------------

    def _close(self, run: VideoRun, state: VideoState, error: Exception | None = None) -> None:
        """Let the writes in flight finish, then free what the video holds on the workers."""
        run.state, run.ending, run.error = VideoState.CLOSING, state, error
        for each in run.open.values():
            each.let_go()
            for chunk in each.unsent:
                each.writing.pop(chunk)
            each.unsent.clear()
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

    # --- small things -------------------------------------------------------------------------------------------------------

    def _active(self) -> list[VideoRun]:
        return list(self._started.values())

    def _submit(self, worker: WorkerId | None, call: Call, *payloads: Payload) -> None:
        assert worker is not None
        self._tell(CallSubmitted(worker, type(call).__name__))
        self._executor.submit(worker, call, *payloads)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

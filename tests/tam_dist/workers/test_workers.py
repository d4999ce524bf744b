"""The contract: a worker answers its own calls, and a fresh one never goes on with a session that it does not know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tam_dist
from storage.commits import labels_digest
from storage.project_store import ProjectStore
from tam_dist.config import Config, load_config
from tam_dist.coordination.calls import (
    CloseProject,
    CloseSession,
    CloseVideo,
    Decode,
    Encode,
    OpenPass,
    OpenProject,
    OpenSession,
    PassReceipt,
    ProjectReceipt,
    Resume,
    Segment,
    Snapshot,
    Step,
    StepReceipt,
    Write,
)
from tam_dist.coordination.video import VideoJob
from tam_dist.due import due_work
from tam_dist.errors import ProjectLockedError, StorageError, VideoError, WorkerDiedError
from tam_dist.preparation import prepare, settle
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import SessionStart
from tam_dist.types import ChunkResult, FrameChunk, StepResult
from tam_dist.workers.decoder import DecoderWorker
from tam_dist.workers.propagator import PropagatorWorker
from tam_dist.workers.refiner import RefinerWorker
from tam_dist.workers.writer import WriterWorker
from tests.tiny import square


@pytest.fixture(scope="module")
def config(tiny_settings: tuple[str, ...]) -> Config:
    return settle(load_config(tiny_settings))


@pytest.fixture
def job(tiny_video: Path, config: Config, tmp_path: Path) -> VideoJob:
    prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.click("dog", 40, 30, frame=3)]
    return prepare(str(tiny_video), prompts, str(tmp_path / "p"), config)


def start_of(job: VideoJob) -> SessionStart:
    return SessionStart(due_work(ProjectStore.open(job.project, write=False)).asked.spec_at(0))


def decode(job: VideoJob, chunk: int) -> Decode:
    return Decode(job.project, 0, job.uri, job.reader, job.on_damage, job.spec.chunk_size, chunk)


def test_the_decoder_gives_chunks_of_the_grid_and_forgets_closed_videos(job: VideoJob) -> None:
    worker = DecoderWorker()
    _, last = worker.run(decode(job, 5))
    assert isinstance(last, FrameChunk)
    assert (last.start, last.frames.shape) == (40, (4, 48, 64, 3))
    _, first = worker.run(decode(job, 0))
    assert (first.start, len(first.frames)) == (0, 8)
    worker.run(CloseVideo(job.project, 0))
    worker.run(CloseVideo(job.project, 0))  # closing twice is no error: a replacement may be told again
    with pytest.raises(VideoError, match="nowhere"):
        worker.run(Decode("p", 0, "/nowhere.mp4", "auto", "hold", 8, 0))


def test_a_chunk_goes_through_propagator_and_refiner(job: VideoJob, config: Config) -> None:
    propagator, refiner = PropagatorWorker(config), RefinerWorker(config)
    _, frames = DecoderWorker().run(decode(job, 0))
    propagator.run(OpenSession(job.project, 4), start_of(job))
    receipt, waiting = propagator.run(Step(job.project, 4, 0, snapshot=True), frames)
    assert receipt == StepReceipt(receipt.seconds, finished=False)
    assert waiting.requests[0].frame == 3
    answers = [refiner.run(Segment(job.project, 4, 0), frames, waiting)[1] for _ in range(2)]
    assert np.array_equal(answers[0][0][0].mask, answers[1][0][0].mask)  # it may be asked twice
    receipt, done = propagator.run(Resume(job.project, 4, 0, snapshot=True), answers[0])
    assert receipt == StepReceipt(receipt.seconds, finished=True)
    assert done.chunk.index == 0
    assert done.checkpoint == propagator.run(Snapshot(job.project, 4, 0))[1].checkpoint


def test_nothing_reads_memory_before_it_is_written(tiny_video: Path, config: Config, tmp_path: Path) -> None:
    """Which is why it need not be filled; here it is, with NaN."""
    made = prepare(str(tiny_video), [tam_dist.mask("cat", square(4, 10))], str(tmp_path / "masks"), config)
    propagator, decoder, found = PropagatorWorker(config), DecoderWorker(), []
    filling = torch.utils.deterministic
    assert not filling.fill_uninitialized_memory
    try:
        for generation, fill in enumerate((False, True)):
            filling.fill_uninitialized_memory = fill
            propagator.run(OpenSession(made.project, generation), start_of(made))
            steps = [Step(made.project, generation, n, snapshot=True) for n in range(made.spec.chunk_count)]
            found.append([propagator.run(step, decoder.run(decode(made, step.chunk))[1])[1] for step in steps])
    finally:
        filling.fill_uninitialized_memory = False
    for plain, filled in zip(*found, strict=True):
        assert plain.checkpoint == filled.checkpoint
        assert np.array_equal(plain.chunk.labels, filled.chunk.labels)
        assert np.array_equal(plain.chunk.quality, filled.chunk.quality, equal_nan=True)


def test_a_propagator_refuses_sessions_that_it_does_not_hold(job: VideoJob, config: Config) -> None:
    _, frames = DecoderWorker().run(decode(job, 0))
    worker = PropagatorWorker(config)
    with pytest.raises(WorkerDiedError) as lost:
        worker.run(Step(job.project, 0, 0, snapshot=False), frames)
    assert not lost.value.running
    worker.run(OpenSession(job.project, 1), start_of(job))
    worker.run(CloseSession(job.project, 3))  # of an earlier life, told late
    for stale in (Step(job.project, 0, 0, snapshot=False), Resume(job.project, 2, 0, snapshot=False)):
        with pytest.raises(WorkerDiedError):
            worker.run(stale, frames)
    worker.run(CloseSession(job.project, 1))
    with pytest.raises(WorkerDiedError):
        worker.run(Step(job.project, 1, 0, snapshot=False), frames)


def result(chunk: int) -> ChunkResult:
    labels = np.full((8, 48, 64), chunk % 3, np.uint8)
    return ChunkResult(chunk, chunk * 8, labels, np.zeros((8, 2), np.float32), np.ones((8, 2), np.uint8))


def test_the_writer_commits_hands_out_checkpoints_and_frees_the_lock(job: VideoJob) -> None:
    writer = WriterWorker()
    receipt, asked = writer.run(OpenProject(job.project, 0))
    spec = asked.spec_at(0)
    whole = Pass(0, 6)
    assert receipt == ProjectReceipt(receipt.seconds, passes=(whole,), committed=frozenset())
    assert [p.object_name for p in spec.prompts] == ["cat", "dog"]
    receipt, start = writer.run(OpenPass(job.project, 1, whole), asked)
    assert receipt == PassReceipt(receipt.seconds, next_chunk=0, done=frozenset())
    assert start == SessionStart(spec, None, whole)
    with pytest.raises(ProjectLockedError):
        ProjectStore.open(job.project, write=True)
    for chunk, checkpoint in [(0, None), (1, b"state after 1"), (2, None)]:
        writer.run(Write(job.project, 0, chunk), StepResult(chunk=result(chunk), checkpoint=checkpoint))
    receipt, start = writer.run(OpenPass(job.project, 1, whole), asked)
    assert receipt == PassReceipt(receipt.seconds, next_chunk=2, done=frozenset({0, 1, 2}))
    assert writer.run(OpenProject(job.project, 2))[0].committed == {0, 1, 2}
    assert start.checkpoint == b"state after 1"
    writer.run(Write(job.project, 1, 2), StepResult(checkpoint=b"state after 2"))  # a run that is stopped saves where it is
    assert writer.run(OpenPass(job.project, 2, whole), asked)[1].checkpoint == b"state after 2"
    writer.run(CloseProject(job.project, 2, "stopped", None))
    status = ProjectStore.open(job.project, write=False).status()
    assert (status.state, status.frames_done, status.writer) == ("interrupted", 24, None)


def test_what_another_writer_encoded_is_what_the_writer_stores(job: VideoJob) -> None:
    """Nor is it encoded once more: a chunk that comes with the encoding of other masks is stored as those."""
    step, other = (StepResult(chunk=replace(result(1), labels=result(chunk).labels)) for chunk in (1, 2))
    encoder, writer = WriterWorker(), WriterWorker()
    for given in (other, step):
        _, encoded = encoder.run(Encode(job.project, 0, 1, 8), given)
        writer.run(Write(job.project, 0, 1), step, encoded)
        store = ProjectStore.open(job.project, write=False)
        assert (store.labels[8:16] == given.chunk.labels).all()
        assert store.record(1).digest == labels_digest(given.chunk.labels)
    _, nothing = encoder.run(Encode(job.project, 0, 1, 8), StepResult(checkpoint=b"state"))
    writer.run(Write(job.project, 0, 1), StepResult(checkpoint=b"state"), nothing)
    writer.close()


def test_a_fresh_writer_opens_a_project_at_whatever_comes_first(job: VideoJob) -> None:
    WriterWorker().run(Write(job.project, 0, 0), StepResult(chunk=result(0)))
    writer = WriterWorker()
    writer.run(CloseProject(job.project, 0, "failed", "frame 9 is damaged"))
    status = ProjectStore.open(job.project, write=False).status()
    assert (status.state, status.reason, status.frames_done) == ("failed", "frame 9 is damaged", 8)


def test_a_project_whose_end_could_not_be_recorded_can_be_opened_again(job: VideoJob, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = WriterWorker()
    writer.run(OpenProject(job.project, 1))
    with monkeypatch.context() as full:
        full.setattr(ProjectStore, "set_state", lambda *_: (_ for _ in ()).throw(StorageError("the disk is full")))
        with pytest.raises(StorageError, match="the disk is full"):
            writer.run(CloseProject(job.project, 1, "done", None))
    ProjectStore.open(job.project, write=True).close()  # by another process
    assert writer.run(OpenProject(job.project, 2))[0] is not None
    writer.close()


def test_calls_of_another_role_are_a_bug(job: VideoJob) -> None:
    for worker in (DecoderWorker(), WriterWorker()):
        with pytest.raises(TypeError, match="got Snapshot"):
            worker.run(Snapshot(job.project, 0, 0))

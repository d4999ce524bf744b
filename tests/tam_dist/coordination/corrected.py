"""A video that people correct while it is tracked, with real projects and the real scheduler but without models.

The stand-in tracker's scores are a running digest of all that its session was told, so one that learnt something else, or at
another chunk, has other scores from then on. Its masks depend on what it was told within the last :data:`RECALLED` frames, so
that what is tracked anew agrees with the old masks after a while, as with a real tracker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from storage.manifest import Manifest
from storage.project_store import ProjectStore
from tam_dist.config import Config, load_config, to_dict
from tam_dist.coordination.calls import (
    Call,
    CloseSession,
    CloseVideo,
    Decode,
    Learn,
    OpenSession,
    Payload,
    Receipt,
    Refer,
    Role,
    Snapshot,
    Step,
    StepReceipt,
    Update,
    Worker,
    WorkerId,
)
from tam_dist.coordination.video import VideoJob
from tam_dist.errors import WorkerDiedError
from tam_dist.preparation import job_of
from tam_dist.prompts import objects_of
from tam_dist.replay import copy_asked
from tam_dist.tracking.chunk_masks import ChunkMasks
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.plan import BackwardPlan, PromptPlan
from tam_dist.tracking.references import references_in
from tam_dist.tracking.spec import SessionSpec, SessionStart
from tam_dist.types import ChunkResult, FrameChunk, ObjectQuery, Origin, Prompt, Reference, SegmentedMask, StepResult, VideoInfo
from tam_dist.workers.writer import WriterWorker

SIZE = 6  # pixels a side
CHUNK = 4
RECALLED = 5


class TellTaleSession:
    """What it was told, and when, shows in what it makes."""

    def __init__(self, start: SessionStart, references: Sequence[Reference]) -> None:
        self.spec, self.over, self.given = start.spec, start.over or Pass(0, start.spec.chunk_count), start.given
        self.state, self.recent, self.known = "", list[tuple[int, str]](), set[int]()
        self.next_chunk = self.over.chunks.start
        if start.checkpoint is not None:
            fields = json.loads(start.checkpoint)
            self.next_chunk, self.state, self.known = fields["next"], fields["state"], set(fields["known"])
            self.recent = [(at, text) for at, text in fields["recent"]]
        wanted = self.spec.reference_frames(self.over)
        self.learn([each for each in references if each.frame in wanted])

    def snapshot(self) -> bytes:
        fields = {"next": self.next_chunk, "state": self.state, "recent": self.recent, "known": sorted(self.known)}
        return json.dumps(fields).encode()

    def learn(self, references: Sequence[Reference]) -> None:
        for each in sorted(references, key=lambda reference: reference.frame):
            for mask in each.masks:
                self.known.add(mask.object_id)
                self._told(f"refers to {each.frame} {mask.object_id} {mask.mask.tobytes()!r}", self.next_chunk * CHUNK)

    def update(self, spec: SessionSpec) -> None:
        self.spec = spec

    def step(self, chunk: FrameChunk) -> ChunkResult:
        assert chunk.index == self.next_chunk
        spec, over = self.spec, self.over
        given = spec.prompts_of(over) if self.given is None else self.given
        plan = (BackwardPlan if over.backward else PromptPlan)(spec.objects, given, elsewhere=True)
        masks = ChunkMasks.blank(spec, chunk)
        numbers = range(chunk.start, chunk.stop)
        for number in reversed(numbers) if over.backward else numbers:
            self._track(number, plan, masks)
        if not over.backward:
            ids = {o.name: o.id for o in spec.objects}
            for lock in spec.locks:
                if lock.frame in numbers:
                    masks.keep(lock, ids[lock.object_name])
        self.next_chunk += over.chunks.step
        result, layer = masks.result(), spec.layer(over, chunk.index)
        made = {"basis": spec.basis(chunk.index), "edition": spec.edition, "layer": layer, "fusion": spec.fusion(over)}
        return replace(result, **made)

    def _track(self, number: int, plan: PromptPlan, masks: ChunkMasks) -> None:
        offset = number - masks.start
        prompts, absent = plan.at(number), plan.absent(number)
        for each in prompts:
            self.known.add(each.object_id)
            self._told(f"{number} {each.object_id} {each.mask is not None and each.mask.tobytes()!r}", number)
        for object_id in sorted(absent & self.known):
            self._told(f"{number} {object_id} is absent", number)
        self.state = _digest(f"{self.state} {number}")
        recalled = sorted(text for at, text in self.recent if abs(at - number) < RECALLED)
        known = np.array([0, *sorted(self.known)], np.uint8)
        stripes = known[np.frombuffer(bytes.fromhex(_digest(f"{number} {recalled}")), np.uint8) % len(known)]
        labels = np.resize(stripes, (SIZE, SIZE))
        labels[np.isin(labels, sorted(absent))] = 0
        for each in prompts:
            if each.object_id not in absent and each.mask is not None:
                labels[labels == each.object_id] = 0
                labels[each.mask] = each.object_id
        masks.labels[offset] = labels
        for object_id in self.known:
            masks.quality[offset, object_id - 1] = int(_digest(f"{self.state} {object_id}")[:4], 16) / 2**16
            masks.origin[offset, object_id - 1] = Origin.PROPAGATED
        for each in prompts:
            masks.origin[offset, each.object_id - 1] = Origin.PROMPTED
        for object_id in absent:
            masks.origin[offset, object_id - 1], masks.quality[offset, object_id - 1] = Origin.ABSENT, np.nan
        if self.given is None:
            masks.applied.extend(uuid for each in prompts for uuid in each.uuids)

    def _told(self, text: str, at: int) -> None:
        self.state = _digest(f"{self.state} {text}")
        self.recent = [*self.recent, (at, text)][-20:]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class StandIn:
    """Decoder, propagator and refiner in one; a fresh one knows nothing."""

    def __init__(self) -> None:
        self.sessions: dict[int, TellTaleSession] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        match call:
            case Decode():
                frames = np.zeros((CHUNK, SIZE, SIZE, 3), np.uint8)
                return Receipt(0.0), FrameChunk(call.chunk, call.chunk * CHUNK, frames)
            case Refer():
                return Receipt(0.0), references_in(payloads[1], payloads[0], call.frames.prompts, _no_sam)
            case OpenSession():
                references = [each for found in payloads[1:] for each in found]
                self.sessions[call.generation] = TellTaleSession(payloads[0], references)
            case Update():
                self._session(call).update(payloads[0].spec_of(call.plan))
            case Learn():
                self._session(call).learn([each for found in payloads for each in found])
            case Step():
                session = self._session(call)
                chunk = session.step(payloads[0])
                snapshot = session.snapshot() if call.snapshot else None
                return StepReceipt(0.0, finished=True), StepResult(chunk=chunk, checkpoint=snapshot)
            case Snapshot():
                return Receipt(0.0), StepResult(checkpoint=self._session(call).snapshot())
            case CloseSession():
                self.sessions.pop(call.generation, None)
            case CloseVideo():
                pass
            case _:
                raise AssertionError(call)
        return Receipt(0.0), None

    def abandon(self, generation: int) -> None:
        self.sessions.pop(generation, None)

    def close(self) -> None: ...

    def _session(self, call: Call) -> TellTaleSession:
        if call.generation not in self.sessions:
            raise WorkerDiedError("lost with its propagator", running=False)
        return self.sessions[call.generation]


def _no_sam(image: np.ndarray, number: int, query: ObjectQuery) -> SegmentedMask:
    raise AssertionError("these prompts are masks")


def worker(which: WorkerId) -> Worker:
    return WriterWorker() if which.role is Role.WRITER else StandIn()


def config(segments: str) -> Config:
    settings = [f"tracking.chunk_size={CHUNK}", "tracking.checkpoint_every=2", f"tracking.segments={segments}"]
    return load_config([*settings, "tracking.settled_frames=6", "refinement.mode=off", "cluster.max_deaths_per_chunk=1000"])


def create(where: Path, prompts: Sequence[Prompt], used: Config, chunks: int) -> VideoJob:
    frames = chunks * CHUNK
    source = VideoInfo("film.mp4", frames, SIZE, SIZE, Fraction(25), Fraction(1, 25), 0, "same", "pyav")
    manifest = Manifest(source, CHUNK, objects_of(prompts), {}, to_dict(used))
    with ProjectStore.create(where, manifest, np.arange(frames)) as store:
        store.append_prompts(prompts)
        return job_of(store)


def copied(source: ProjectStore, where: Path) -> VideoJob:
    """What was asked of a project and when that was learnt, without anything that was made of it."""
    copy_asked(source, where)
    return job_of(ProjectStore.open(where, write=False))


def content(where: str) -> tuple[bytes, ...]:
    store = ProjectStore.open(where, write=False)
    return tuple(np.asarray(array[:]).tobytes() for array in (store.labels, store.quality, store.origin))

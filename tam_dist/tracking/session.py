"""One video's tracker as a state machine: chunks in, masks out, and a pause wherever the segmentation model must be asked.

A session never waits for anybody. ``step`` tracks a chunk until it is finished or until SAM is needed; then it returns the
questions and ``resume`` continues with the answers. It reads no files and knows no processes, so the same session runs
inline and in an actor.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from tam_dist.errors import WorkerDiedError
from tam_dist.models.precision import Precision
from tam_dist.models.xmem.inference import EncodedFrame, InferenceCore, Prediction
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.assessment import Assessor, Question, Watcher
from tam_dist.tracking.chunk_masks import ChunkMasks
from tam_dist.tracking.encoding import ChunkEncoder
from tam_dist.tracking.outcome import FrameMasks
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.plan import BackwardPlan, ObjectPrompts, PromptPlan
from tam_dist.tracking.quality.model import QualityScorer, weight_free
from tam_dist.tracking.resampling import resize_frames, resize_mask
from tam_dist.tracking.snapshot import pack_snapshot, unpack_snapshot
from tam_dist.tracking.spec import SessionSpec, SessionStart, propagation_size
from tam_dist.types import (
    ChunkResult,
    FloatArray,
    FrameChunk,
    Prompt,
    Reference,
    SegmentationRequest,
    SegmentedMask,
    StepResult,
)

Answers = tuple[SegmentedMask, ...]
_Asking = Generator[tuple[SegmentationRequest, ...], Sequence[Answers], Any]


@dataclass(frozen=True, eq=False)
class Models:
    """What sessions of one process share. ``scorer`` belongs to the network's weights; ``encode_ahead`` lets a second thread
    encode the next frame meanwhile, one frame at a time; for CPUs.
    """

    network: XMem
    scorer: QualityScorer = weight_free
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = Precision.FP32
    encode_ahead: bool = False


class TrackingSession:
    """Tracks the chunks of one pass ``over`` a video (None: forwards over the whole), from its first frame or from a snapshot.

    The masks are a function of (frames, spec, weights, torch build, thread count) alone: the chunk grid is anchored at
    frame 0 and the frames encoded together depend on the grid, not on where a run was interrupted. ``watch`` hears of every
    assessed frame.
    """

    def __init__(
        self,
        spec: SessionSpec,
        models: Models,
        *,
        over: Pass | None = None,
        references: Sequence[Reference] = (),
        given: Sequence[Prompt] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self._spec = spec
        self._models = models
        self._core = InferenceCore(models.network, spec.propagation, device=models.device, precision=models.precision)
        self._assessor = Assessor(spec.refinement, models.scorer, (spec.height, spec.width), watch=watch)
        settings = spec.propagation
        self._size = propagation_size(spec.height, spec.width, settings.short_side, enlarge=settings.enlarge)
        self._over = over or Pass(0, spec.chunk_count)
        self._given = given
        self._plan = self._planned()
        self._next_chunk = self._over.chunks.start
        self._running: Generator[tuple[SegmentationRequest, ...], Sequence[Answers], ChunkResult] | None = None
        self._deferred: list[Question] = []
        self._ahead: Sequence[Reference] = ()
        self._abandoned = False
        wanted = frozenset(spec.reference_frames(self._over))
        self._remember([r for r in references if r.frame in wanted], spec.seeded(self._over))

    @classmethod
    def restore(
        cls,
        spec: SessionSpec,
        models: Models,
        snapshot: bytes,
        *,
        over: Pass | None = None,
        given: Sequence[Prompt] | None = None,
        watch: Watcher | None = None,
        first: bool = False,
    ) -> TrackingSession:
        """A session that continues bit-identically after the chunk that ``snapshot`` was taken behind; ``first``: at the pass's
        own first chunk, from what another pass knew before its.

        Raises :class:`SchemaError` where the bytes are no snapshot that this version reads.
        """
        session = cls(spec, models, over=over, given=given, watch=watch)
        next_chunk, tensors, meta = unpack_snapshot(snapshot)
        if not first:
            session._next_chunk = next_chunk
        session._core.restore({n: t for n, t in tensors.items() if not n.startswith("signals.")}, meta["core"])
        session._assessor.restore(tensors, meta["assessor"], models.device)
        return session

    @classmethod
    def begin(
        cls, start: SessionStart, models: Models, references: Sequence[Reference] = (), *, watch: Watcher | None = None
    ) -> TrackingSession:
        """At its checkpoint, or with ``references`` where it has none. Raises as :meth:`restore`."""
        spec, over, given = start.spec, start.over, start.given
        if start.checkpoint is None:
            return cls(spec, models, over=over, references=references, given=given, watch=watch)
        return cls.restore(spec, models, start.checkpoint, over=over, given=given, watch=watch)

    @property
    def next_chunk(self) -> int:
        """Index of the chunk that the next ``step`` expects."""
        return self._next_chunk

    def snapshot(self) -> bytes:
        """The state between two chunks, as safetensors."""
        if self._running is not None:
            raise RuntimeError("a session can be saved between chunks only")
        tensors, core = self._core.state()
        signals, assessor = self._assessor.state()
        return pack_snapshot(self._next_chunk, {**tensors, **signals}, {"core": core, "assessor": assessor})

    def step(self, chunk: FrameChunk) -> StepResult:
        """Track ``chunk``, which must be the next one, as far as possible."""
        if self._running is not None or chunk.index != self._next_chunk:
            raise RuntimeError(f"step({chunk.index}) while chunk {self._next_chunk} is due or under way")
        self._running = self._track(chunk)
        return self._advance(None)

    def resume(self, answers: Sequence[Answers]) -> StepResult:
        """Continue the chunk under way with the answers to the last requests, one tuple of masks a request."""
        if self._running is None:
            raise RuntimeError("resume without a chunk under way")
        return self._advance(answers)

    @torch.inference_mode()
    def _advance(self, answers: Sequence[Answers] | None) -> StepResult:
        assert self._running is not None
        try:
            requests = next(self._running) if answers is None else self._running.send(answers)
        except StopIteration as finished:
            self._running = None
            self._next_chunk += self._over.chunks.step
            return StepResult(chunk=finished.value)
        return StepResult(requests=requests)

    # --- between two chunks --------------------------------------------------------------------------------------------

    def update(self, spec: SessionSpec) -> None:
        """Go on with another ``spec``, which asks for the same as far as has been tracked."""
        self._spec = spec
        self._plan = self._planned()

    def learn(self, references: Sequence[Reference]) -> None:
        """Take note of masks that a person gave elsewhere in the video: while this pass was under way or, of objects that begin
        in the next chunk, further on. These are learnt once the object is there.
        """
        self._remember(references, self._spec.taught(self._over) | frozenset(self._core.object_ids))
        self._ahead = references if self._spec.known_ahead else ()

    def abandon(self) -> None:
        """Let the chunk under way end at its next frame with :class:`WorkerDiedError`; called from another thread."""
        self._abandoned = True

    def _planned(self) -> PromptPlan:
        given = self._spec.prompts_of(self._over) if self._given is None else self._given
        anywhere = len(self._spec.borders) > 1 or self._over.anchor is not None
        return (BackwardPlan if self._over.backward else PromptPlan)(self._spec.objects, given, elsewhere=anywhere)

    # --- one chunk -----------------------------------------------------------------------------------------------------

    def _track(self, chunk: FrameChunk) -> Generator[tuple[SegmentationRequest, ...], Sequence[Answers], ChunkResult]:
        spec = self._spec
        masks = ChunkMasks.blank(spec, chunk)
        cuts = chunk.cuts if spec.cuts is None else spec.cuts
        ahead = self._models.encode_ahead
        batch = 1 if ahead else spec.propagation.key_batch
        encoder = ChunkEncoder(self._core, self._in_order(chunk), self._size, batch=batch, ahead=ahead)
        numbers = range(chunk.start, chunk.stop)
        for offset, number in enumerate(reversed(numbers) if self._over.backward else numbers):
            if self._abandoned:
                raise WorkerDiedError("The session was abandoned.", running=False)
            if not self._plan.begun(number) and not self._core.object_ids:
                continue
            prompts = self._plan.at(number)
            if number in chunk.skipped and not prompts:
                self._core.skip()
                continue
            if self._changes_objects(number):  # earlier predictions are of others than those tracked then
                yield from self._settle_deferred(masks)
            cut = self._spec.asks_at_cuts and number + self._over.backward in (cuts or ())
            masks.put(number, (yield from self._track_frame(number, encoder.frame(offset), cut)))
            masks.applied.extend(uuid for each in prompts for uuid in each.uuids if uuid)  # else: of a stored mask
        yield from self._settle_deferred(masks)
        self._ahead = ()
        if not self._over.backward:
            self._keep_locked(masks, chunk)
        begun = None if cuts is None else tuple(cut for cut in cuts if chunk.start <= cut < chunk.stop)
        return self._made_from(replace(masks.result(), cuts=begun))

    def _keep_locked(self, masks: ChunkMasks, chunk: FrameChunk) -> None:
        ids = {o.name: o.id for o in self._spec.objects}
        for lock in self._spec.locks:
            if chunk.start <= lock.frame < chunk.stop:
                masks.keep(lock, ids[lock.object_name])

    def _made_from(self, result: ChunkResult) -> ChunkResult:
        spec, over, chunk = self._spec, self._over, result.index
        layer = spec.layer(over, chunk)
        return replace(result, basis=spec.basis(chunk), edition=spec.edition, layer=layer, fusion=spec.fusion(over))

    @torch.inference_mode()
    def _remember(self, references: Sequence[Reference], objects: frozenset[int]) -> None:
        """Take in masks from elsewhere in the video, as if they had come before the next frame."""
        for each in sorted(references, key=lambda r: r.frame):
            masks = {m.object_id: resize_mask(m.mask, self._size) for m in each.masks if m.object_id in objects}
            if masks:
                (frame,) = self._core.encode(resize_frames(each.image[None], self._size))
                probabilities = self._core.refer(frame, masks)
                if self._spec.known_ahead:
                    self._assessor.learn(frame, probabilities, self._core.object_ids, frozenset(masks))
                else:  # as projects had it that are older than the setting
                    self._assessor.settle(frame, probabilities, self._core.object_ids, frozenset(masks), as_observed=False)

    def _in_order(self, chunk: FrameChunk) -> FrameChunk:
        """The chunk's frames in the order in which the pass comes by."""
        return replace(chunk, frames=np.ascontiguousarray(chunk.frames[::-1])) if self._over.backward else chunk

    def _time(self, number: int) -> int:
        """Of frame ``number`` in a pass over the whole video, in its direction."""
        return self._spec.frame_count - 1 - number if self._over.backward else number

    def _changes_objects(self, number: int) -> bool:
        leaving = self._plan.gone_for_good(number, self._spec.frame_count)
        return bool(self._plan.at(number)) or not leaving.isdisjoint(self._core.object_ids)

    def _track_frame(self, number: int, frame: EncodedFrame, cut: bool) -> _Asking:
        declared = self._plan.absent(number)
        for object_id in self._plan.gone_for_good(number, self._spec.frame_count) & set(self._core.object_ids):
            self._core.remove_object(object_id)
        prompts = tuple(p for p in self._plan.at(number) if p.object_id not in declared)
        found = None
        if self._core.object_ids:
            seen = self._core.predict(frame, prompted=bool(prompts), absent=declared)
            found = self._assessor.assess(self._time(number), frame, seen, absent=declared, settled=bool(prompts), cut=cut)
        given = yield from self._given_masks(number, prompts, None if found is None else found.prediction)
        if found is None and not given:
            return FrameMasks.empty(self._spec, declared)
        refined: dict[int, SegmentedMask] = {}
        if found is not None and found.due:
            question = self._assessor.question(number, frame, found)
            if self._spec.refinement.mode == "deferred":
                self._deferred.append(question)
            else:
                (answers,) = yield (question.request,)
                refined = self._assessor.decide(question, answers)
        absent = (declared if found is None else found.absent) - set(given)
        masks = {i: resize_mask(m.mask, self._size) for i, m in (given | refined).items()}
        prediction = None if found is None else found.prediction
        known = frozenset(self._core.object_ids)
        probabilities = self._core.update(frame, prediction, masks, permanent=bool(given), absent=absent)
        as_observed = found is not None and not masks and absent == declared
        self._assessor.settle(frame, probabilities, self._core.object_ids, frozenset(given), as_observed=as_observed)
        if new := frozenset(self._core.object_ids) - known:
            self._remember(self._ahead, new)
        quality = {} if found is None else found.quality
        return FrameMasks.of(self._spec, probabilities, self._core.object_ids, quality, given, refined, absent, declared)

    def _given_masks(self, number: int, prompts: tuple[ObjectPrompts, ...], prediction: Prediction | None) -> _Asking:
        """The masks that people's prompts stand for, by object id; asks SAM where they are not whole masks."""
        given = {p.object_id: SegmentedMask(p.object_id, p.mask, 1.0) for p in prompts if p.mask is not None}
        queries = tuple(p.query(self._known_logits(number, p, prediction)) for p in prompts if p.needs_segmentation)
        if queries:
            (answers,) = yield (SegmentationRequest(number, queries),)
            given.update({answer.object_id: answer for answer in answers})
        return given

    def _known_logits(self, number: int, asked: ObjectPrompts, prediction: Prediction | None) -> FloatArray | None:
        """What the object looks like as far as is known (h, w). By its first prompt in the segment it is shown afresh, as it is
        to the pass back from there, however it was tracked from references before.
        """
        afresh = asked.shows_object and self._spec.starts_of(self._over).get(asked.object_id) == number
        return None if afresh else _logits_of(prediction, asked.object_id)

    def _settle_deferred(self, masks: ChunkMasks) -> _Asking:
        """Ask about the chunk's poor frames all at once; what is accepted replaces their masks and enters memory."""
        waiting, self._deferred = self._deferred, []
        if not waiting:
            return
        answers = yield tuple(question.request for question in waiting)
        for question, answer in zip(waiting, answers, strict=True):
            refined = self._assessor.decide(question, answer)
            if not refined:
                continue
            found = question.assessment
            small = {i: resize_mask(m.mask, self._size) for i, m in refined.items()}
            probabilities = self._core.recall(question.frame, found.prediction, small, found.absent)
            ids, declared = found.prediction.object_ids, self._plan.absent(question.number)
            better = FrameMasks.of(self._spec, probabilities, ids, found.quality, {}, refined, found.absent, declared)
            masks.put(question.number, better)


def _logits_of(prediction: Prediction | None, object_id: int) -> FloatArray | None:
    """The tracker's own logits of an object (h, w), for the segmentation model's mask prompt."""
    if prediction is None or object_id not in prediction.object_ids:
        return None
    probability = prediction.probabilities[1 + list(prediction.object_ids).index(object_id)]
    logits: FloatArray = torch.logit(probability.float(), eps=1e-4).cpu().numpy()
    return logits

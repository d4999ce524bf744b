"""One video's tracker as a state machine: chunks in, masks out, and a pause wherever the segmentation model must be asked.

A session never waits for anybody. ``step`` tracks a chunk until it is finished or until a frame needs SAM; then it returns
the question and ``resume`` continues with the answer. It reads no files and knows no processes, so the same session runs
inline and in an actor.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tam_dist.models.xmem.inference import EncodedFrame, InferenceCore, Prediction
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.encoding import ChunkEncoder
from tam_dist.tracking.plan import ObjectPrompts, PromptPlan
from tam_dist.tracking.quality import confidence
from tam_dist.tracking.resampling import label_map, propagation_size, shrink_mask
from tam_dist.tracking.snapshot import pack_snapshot, unpack_snapshot
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import (
    ChunkResult,
    FloatArray,
    FrameChunk,
    LabelArray,
    Origin,
    SegmentationRequest,
    SegmentedMask,
    StepResult,
    UInt8Array,
)

_Steps = Generator[SegmentationRequest, Sequence[SegmentedMask], ChunkResult]


class TrackingSession:
    """Tracks the chunks of one video in order, from frame 0 or from a snapshot.

    The masks are a function of (frames, spec, weights, torch build, thread count) alone: the chunk grid is anchored at
    frame 0 and the frames encoded together depend on the grid, not on where a run was interrupted. ``encode_ahead`` lets a
    second thread encode the next frame meanwhile, one frame at a time; for CPUs.
    """

    def __init__(self, spec: SessionSpec, network: XMem, device: torch.device, *, encode_ahead: bool = False) -> None:
        self._spec = spec
        self._encode_ahead = encode_ahead
        self._plan = PromptPlan(spec.objects, spec.prompts)
        self._core = InferenceCore(network, spec.propagation, device=device)
        self._size = propagation_size(spec.height, spec.width, spec.propagation.short_side)
        self._next_chunk = 0
        self._running: _Steps | None = None

    @classmethod
    def restore(
        cls, spec: SessionSpec, network: XMem, device: torch.device, snapshot: bytes, *, encode_ahead: bool = False
    ) -> TrackingSession:
        """A session that continues bit-identically after the chunk that ``snapshot`` was taken behind.

        Raises :class:`SchemaError` where the bytes are no snapshot of this version.
        """
        session = cls(spec, network, device, encode_ahead=encode_ahead)
        session._next_chunk, tensors, meta = unpack_snapshot(snapshot)
        session._core.restore(tensors, meta)
        return session

    @property
    def next_chunk(self) -> int:
        """Index of the chunk that the next ``step`` expects."""
        return self._next_chunk

    def snapshot(self) -> bytes:
        """The state between two chunks, as safetensors."""
        if self._running is not None:
            raise RuntimeError("a session can be saved between chunks only")
        tensors, meta = self._core.state()
        return pack_snapshot(self._next_chunk, tensors, meta)

    def step(self, chunk: FrameChunk) -> StepResult:
        """Track ``chunk``, which must be the next one, as far as possible."""
        if self._running is not None or chunk.index != self._next_chunk:
            raise RuntimeError(f"step({chunk.index}) while chunk {self._next_chunk} is due or under way")
        self._running = self._track(chunk)
        return self._advance(None)

    def resume(self, masks: Sequence[SegmentedMask]) -> StepResult:
        """Continue the chunk under way with the answer to the last request."""
        if self._running is None:
            raise RuntimeError("resume without a chunk under way")
        return self._advance(masks)

    @torch.inference_mode()
    def _advance(self, masks: Sequence[SegmentedMask] | None) -> StepResult:
        assert self._running is not None
        try:
            request = next(self._running) if masks is None else self._running.send(masks)
        except StopIteration as finished:
            self._running = None
            self._next_chunk += 1
            return StepResult(chunk=finished.value)
        return StepResult(request=request)

    # --- one chunk -----------------------------------------------------------------------------------------------------

    def _track(self, chunk: FrameChunk) -> _Steps:
        spec = self._spec
        count = len(chunk.frames)
        labels = np.zeros((count, spec.height, spec.width), spec.label_dtype)
        quality: FloatArray = np.full((count, len(spec.objects)), np.nan, np.float32)
        origin: UInt8Array = np.full((count, len(spec.objects)), Origin.UNTRACKED, np.uint8)
        applied: list[str] = []
        batch = 1 if self._encode_ahead else spec.propagation.key_batch
        encoder = ChunkEncoder(self._core, chunk, self._size, batch=batch, ahead=self._encode_ahead)
        for offset in range(count):
            number = chunk.start + offset
            if number < self._plan.first_frame:
                continue
            outcome = yield from self._track_frame(number, encoder.frame(offset))
            labels[offset], quality[offset], origin[offset] = outcome.labels, outcome.quality, outcome.origin
            applied.extend(uuid for prompts in self._plan.at(number) for uuid in prompts.uuids)
        return ChunkResult(chunk.index, chunk.start, labels, quality, origin, tuple(applied))

    def _track_frame(
        self, number: int, frame: EncodedFrame
    ) -> Generator[SegmentationRequest, Sequence[SegmentedMask], _FrameOutcome]:
        absent = self._plan.absent(number)
        for object_id in self._plan.gone_for_good(number, self._spec.frame_count) & set(self._core.object_ids):
            self._core.remove_object(object_id)
        prompts = tuple(p for p in self._plan.at(number) if p.object_id not in absent)
        prediction = None
        if self._core.object_ids:
            prediction = self._core.predict(frame, prompted=bool(prompts), absent=absent)
        given = yield from self._given_masks(number, prompts, prediction)
        if prediction is None and not given:
            return _FrameOutcome.empty(self._spec, absent)
        masks = {i: shrink_mask(m.mask, self._size) for i, m in given.items()}
        probabilities = self._core.update(frame, prediction, masks)
        return self._outcome(probabilities, given, absent)

    def _given_masks(
        self, number: int, prompts: tuple[ObjectPrompts, ...], prediction: Prediction | None
    ) -> Generator[SegmentationRequest, Sequence[SegmentedMask], dict[int, SegmentedMask]]:
        """The masks that people's prompts stand for, by object id; asks SAM where they are not whole masks."""
        given = {p.object_id: SegmentedMask(p.object_id, p.mask, 1.0) for p in prompts if p.mask is not None}
        queries = tuple(p.query(_logits_of(prediction, p.object_id)) for p in prompts if p.needs_segmentation)
        if queries:
            answers = yield SegmentationRequest(number, queries)
            given.update({answer.object_id: answer for answer in answers})
        return given

    def _outcome(self, probabilities: Tensor, given: dict[int, SegmentedMask], absent: frozenset[int]) -> _FrameOutcome:
        spec = self._spec
        outcome = _FrameOutcome.empty(spec, absent)
        ids = self._core.object_ids
        labels = label_map(probabilities, ids, (spec.height, spec.width), spec.label_dtype)
        trust = confidence(probabilities).cpu().numpy()
        for row, object_id in enumerate(ids):
            if object_id in absent:
                continue
            prompted = object_id in given
            outcome.quality[object_id - 1] = given[object_id].score if prompted else trust[row]
            outcome.origin[object_id - 1] = Origin.PROMPTED if prompted else Origin.PROPAGATED
        for object_id, answer in given.items():  # a person's mask is stored as given, not as it survives resampling
            labels[labels == object_id] = 0
            labels[answer.mask] = object_id
        return _FrameOutcome(labels, outcome.quality, outcome.origin)


@dataclass(frozen=True, eq=False)
class _FrameOutcome:
    """``labels`` (H, W), ``quality`` float32 (K,), ``origin`` uint8 (K,)."""

    labels: LabelArray
    quality: FloatArray
    origin: UInt8Array

    @classmethod
    def empty(cls, spec: SessionSpec, absent: frozenset[int]) -> _FrameOutcome:
        origin = np.full(len(spec.objects), Origin.UNTRACKED, np.uint8)
        for object_id in absent:
            origin[object_id - 1] = Origin.ABSENT
        labels = np.zeros((spec.height, spec.width), spec.label_dtype)
        return cls(labels, np.full(len(spec.objects), np.nan, np.float32), origin)


def _logits_of(prediction: Prediction | None, object_id: int) -> FloatArray | None:
    """The tracker's own logits of an object (h, w), for the segmentation model's mask prompt."""
    if prediction is None or object_id not in prediction.object_ids:
        return None
    probability = prediction.probabilities[1 + list(prediction.object_ids).index(object_id)]
    logits: FloatArray = torch.logit(probability.float(), eps=1e-4).cpu().numpy()
    return logits

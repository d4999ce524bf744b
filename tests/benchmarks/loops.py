"""Loops that benchmarks compare: a tracking session alone, and the plain loop of the official code over the same network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch

from tam_dist.config import Config, PropagationConfig
from tam_dist.models.precision import Precision
from tam_dist.models.xmem import memory
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.matching import Affinity, Query, Reading, similarity
from tam_dist.tracking.resampling import label_map, resize_frames, resize_mask
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec, propagation_size
from tam_dist.types import BoolArray, FrameChunk, LabelArray, Mask, Prompt, TrackedObject, UInt8Array


def given_masks(size: tuple[int, int], count: int) -> list[BoolArray]:
    """``count`` rectangles bool (H, W) beside each other."""
    (height, width), masks = size, []
    for number in range(count):
        mask = np.zeros((height, width), bool)
        left = width * (1 + number) // (count + 2)
        mask[height // 4 : height // 2, left : left + width // (count + 4)] = True
        masks.append(mask)
    return masks


def new_session(length: int, masks: list[BoolArray], config: Config, models: Models) -> TrackingSession:
    """Of a video of ``length`` frames whose first one has ``masks`` (H, W)."""
    objects = tuple(TrackedObject(i, str(i), (255, 0, 0)) for i in range(1, len(masks) + 1))
    prompts = tuple(
        Prompt(f"mask{o.id}", 0.0, "benchmark", 0, o.name, Mask.from_array(m)) for o, m in zip(objects, masks, strict=True)
    )
    height, width = masks[0].shape
    spec = SessionSpec(width, height, length, config.tracking.chunk_size, objects, prompts, config.propagation)
    return TrackingSession(spec, models)


def track(session: TrackingSession, frames: UInt8Array, size: int) -> Iterator[LabelArray]:
    """Labels (t, H, W) of each chunk of ``size`` frames."""
    for first in range(0, len(frames), size):
        result = session.step(FrameChunk(first // size, first, frames[first : first + size])).chunk
        assert result is not None
        yield result.labels


def session_fps(frames: UInt8Array, masks: list[BoolArray], config: Config, models: Models) -> float:
    """Frames per second of tracking alone: no decoding, no writing, no scores."""
    session = new_session(len(frames), masks, config, models)
    start = time.perf_counter()
    for _ in track(session, frames, config.tracking.chunk_size):
        pass
    return len(frames) / (time.perf_counter() - start)


def plain_fps(frames: UInt8Array, masks: list[BoolArray], propagation: PropagationConfig, models: Models) -> float:
    """Of official XMem's loop in float32: frame by frame, dense matching, torch as it comes."""
    core = InferenceCore(models.network, propagation, device=models.device, precision=Precision.FP32)
    height, width = frames.shape[1:3]
    size = propagation_size(height, width, propagation.short_side, enlarge=propagation.enlarge)
    given = {number: resize_mask(mask, size) for number, mask in enumerate(masks, start=1)}
    with dense_matching():
        start = time.perf_counter()
        for t in range(len(frames)):
            (encoded,) = core.encode(resize_frames(frames[t : t + 1], size))
            probabilities = core.step(encoded, given if t == 0 else None)
            label_map(probabilities, tuple(given), (height, width), np.dtype(np.uint8))
        return len(frames) / (time.perf_counter() - start)


@contextmanager
def dense_matching() -> Iterator[None]:
    """Memory is read as in the official code: the whole similarity matrix, a dense affinity with zeros outside the top k."""
    with patch.object(memory, "Reading", _DenseReading):
        yield


class _DenseReading(Reading):
    def __init__(self, key: torch.Tensor, shrinkage: torch.Tensor, query: Query, *, top_k: int, block: int) -> None:
        super().__init__(key, shrinkage, query, top_k=top_k, block=block)
        self._query, self._top_k = query, min(top_k, len(key))

    def result(self) -> Affinity:
        scores = similarity(*self._read, self._query)
        top, index = scores.topk(self._top_k, dim=1)
        weight = torch.softmax(top, dim=1)
        found = Affinity(index, weight, top[:, 0])
        dense = torch.zeros_like(scores).scatter_(1, index, weight)
        object.__setattr__(found, "readout", lambda values: dense @ values)
        object.__setattr__(found, "usage", lambda elements: dense.sum(0))
        return found

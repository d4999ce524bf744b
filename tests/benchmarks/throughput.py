"""Frames per second of the embedded models on this machine: python -m tests.benchmarks.throughput VIDEO [threads]

For 854x480 and 1280x720: the whole engine (decode, track, write), and of its tracking alone against a plain loop of the
same network that encodes each frame by itself and matches densely, as the official code does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import tam_dist
from tam_dist.config import load_config
from tam_dist.coordination.events import Event, StagesMeasured
from tam_dist.media.reader import open_video
from tam_dist.models.checkpoints import resolve
from tam_dist.models.runtime import configure_torch
from tam_dist.models.xmem import memory
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.matching import Affinity, Query, similarity
from tam_dist.models.xmem.weights import load_network
from tam_dist.prompts import Mask, Prompt
from tam_dist.tracking.resampling import label_map, shrink_frames, shrink_mask
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec, propagation_size
from tam_dist.types import BoolArray, FrameChunk, TrackedObject, UInt8Array

FRAMES = 160
SIZES = ((480, 854), (720, 1280))


def clip(path: str, size: tuple[int, int]) -> UInt8Array:
    with open_video(path) as reader:
        frames = reader.read(0, FRAMES)
    return np.stack([cv2.resize(f, size[::-1], interpolation=cv2.INTER_AREA) for f in frames])


def dense_match(key: torch.Tensor, shrinkage: torch.Tensor, query: Query, *, top_k: int, block: int) -> Affinity:
    """The whole similarity matrix, a dense affinity with zeros outside the top k."""
    scores = similarity(key, shrinkage, query)
    top, index = scores.topk(min(top_k, len(key)), dim=1)
    weight = torch.softmax(top, dim=1)
    found = Affinity(index, weight, top[:, 0])
    dense = torch.zeros_like(scores).scatter_(1, index, weight)
    object.__setattr__(found, "readout", lambda values: dense @ values)
    object.__setattr__(found, "usage", lambda elements: dense.sum(0))
    return found


def given_mask(frames: UInt8Array) -> BoolArray:
    height, width = frames.shape[1:3]
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : width // 2] = True
    return mask


def tracking_fps(frames: UInt8Array, threads: int) -> float:
    """Of a session alone: no decoding, no writing."""
    config = load_config([f"runtime.threads={threads}", "runtime.device=cpu"])
    device = configure_torch(config.runtime)
    network = load_network(resolve("embedded", "xmem"), device)
    prompt = Prompt("it", 0.0, "benchmark", 0, "it", Mask.from_array(given_mask(frames)))
    size, objects = config.tracking.chunk_size, (TrackedObject(1, "it", (255, 0, 0)),)
    height, width = frames.shape[1:3]
    spec = SessionSpec(width, height, len(frames), size, objects, (prompt,), config.propagation)
    session = TrackingSession(spec, Models(network, device=device, encode_ahead=threads > 1))
    start = time.perf_counter()
    for first in range(0, len(frames), size):
        session.step(FrameChunk(first // size, first, frames[first : first + size]))
    return len(frames) / (time.perf_counter() - start)


def plain_fps(frames: UInt8Array, threads: int) -> float:
    """Of official XMem's loop over the same network: frame by frame, dense matching, torch as it comes."""
    torch.set_num_threads(threads)
    config, device = load_config([]).propagation, torch.device("cpu")
    core = InferenceCore(load_network(resolve("embedded", "xmem"), device), config, device=device)
    height, width = frames.shape[1:3]
    size = propagation_size(height, width, config.short_side)
    mask = shrink_mask(given_mask(frames), size)
    sparse, memory.match = memory.match, dense_match
    try:
        start = time.perf_counter()
        for t in range(len(frames)):
            (encoded,) = core.encode(shrink_frames(frames[t : t + 1], size))
            probabilities = core.step(encoded, {1: mask} if t == 0 else None)
            label_map(probabilities, (1,), (height, width), np.dtype(np.uint8))
        return len(frames) / (time.perf_counter() - start)
    finally:
        memory.match = sparse


def engine_fps(frames: UInt8Array, folder: Path, threads: int) -> tuple[float, dict[str, float]]:
    """Frames per second of a whole run, model loading included, and busy seconds by role."""
    source = folder / f"{frames.shape[1]}"
    source.mkdir()
    for t, frame in enumerate(frames):
        cv2.imwrite(str(source / f"{t:05d}.jpg"), frame[:, :, ::-1])
    busy: dict[str, float] = {}

    def account(event: Event) -> None:
        if isinstance(event, StagesMeasured):
            busy.update({load.role.value: load.seconds for load in event.loads})

    start = time.perf_counter()
    tam_dist.track(
        source,
        [tam_dist.mask("it", given_mask(frames))],
        out=folder / f"p{frames.shape[1]}",
        settings=[f"runtime.threads={threads}"],
        listener=account,
    )
    return len(frames) / (time.perf_counter() - start), busy


def main(path: str, threads: int = 2) -> None:
    clips = [clip(path, size) for size in SIZES]
    plain = [plain_fps(frames, threads) for frames in clips]  # first: ours sets up the process for the others
    with tempfile.TemporaryDirectory() as folder:
        for size, frames, loop in zip(SIZES, clips, plain, strict=True):
            ours = tracking_fps(frames, threads)
            whole, busy = engine_fps(frames, Path(folder), threads)
            print(f"{size[1]}x{size[0]}, {threads} threads: engine {whole:.1f}, tracking {ours:.1f}, plain {loop:.1f} frames/s")
            print("   busy seconds: " + ", ".join(f"{role} {seconds:.1f}" for role, seconds in sorted(busy.items())))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

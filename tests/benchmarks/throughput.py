"""Frames per second of the embedded models on this machine: python -m tests.benchmarks.throughput VIDEO [threads]

For 854x480 and 1280x720: the whole engine (decode, track, write), and of its tracking alone against a plain loop of the
same network that encodes each frame by itself and matches densely, as the official code does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

import tam_dist
from tam_dist.config import load_config
from tam_dist.coordination.events import CallFinished, Event
from tam_dist.media.reader import open_video
from tam_dist.models.checkpoints import resolve
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.matching import Affinity, Query, similarity
from tam_dist.models.xmem.weights import load_network
from tam_dist.tracking.resampling import propagation_size, shrink_frames
from tam_dist.types import UInt8Array

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


def tracking_fps(frames: UInt8Array, batch: int) -> float:
    config = load_config()
    network = load_network(resolve("embedded", "xmem"), torch.device("cpu"))
    core = InferenceCore(network, config.propagation, device=torch.device("cpu"))
    size = propagation_size(*frames.shape[1:3], config.propagation.short_side)
    mask = torch.zeros(size)
    mask[size[0] // 4 : size[0] // 2, size[1] // 3 : size[1] // 2] = 1
    start = time.perf_counter()
    for first in range(0, len(frames), batch):
        for offset, encoded in enumerate(core.encode(shrink_frames(frames[first : first + batch], size))):
            core.step(encoded, {1: mask} if first + offset == 0 else None)
    return len(frames) / (time.perf_counter() - start)


def plainly(measure: Callable[[], float]) -> float:
    import tam_dist.models.xmem.memory as memory

    sparse, memory.match = memory.match, dense_match
    try:
        return measure()
    finally:
        memory.match = sparse


def engine_fps(frames: UInt8Array, folder: Path, threads: int) -> tuple[float, dict[str, float]]:
    """Frames per second of a whole run, model loading included, and busy seconds by call."""
    source = folder / f"{frames.shape[1]}"
    source.mkdir()
    for t, frame in enumerate(frames):
        cv2.imwrite(str(source / f"{t:05d}.jpg"), frame[:, :, ::-1])
    busy: dict[str, float] = {}

    def account(event: Event) -> None:
        if isinstance(event, CallFinished):
            busy[event.call] = busy.get(event.call, 0.0) + event.seconds

    mask = np.zeros(frames.shape[1:3], bool)
    mask[mask.shape[0] // 4 : mask.shape[0] // 2, mask.shape[1] // 3 : mask.shape[1] // 2] = True
    start = time.perf_counter()
    tam_dist.track(
        source,
        [tam_dist.mask("it", mask)],
        out=folder / f"p{frames.shape[1]}",
        settings=[f"runtime.threads={threads}"],
        listener=account,
    )
    return len(frames) / (time.perf_counter() - start), busy


def main(path: str, threads: int = 2) -> None:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            frames = clip(path, size)
            ours = tracking_fps(frames, 4)
            plain = plainly(lambda: tracking_fps(frames, 1))  # noqa: B023
            whole, busy = engine_fps(frames, Path(folder), threads)
            print(
                f"{size[1]}x{size[0]}, {threads} threads: engine {whole:.1f}, tracking {ours:.1f}, plain {plain:.1f} frames/s"
            )
            print("   busy seconds: " + ", ".join(f"{call} {seconds:.1f}" for call, seconds in sorted(busy.items())))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

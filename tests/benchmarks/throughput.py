"""Frames per second on this machine: python -m tests.benchmarks.throughput VIDEO [--official] [key=value …]

For 854x480 and 1280x720: the whole engine (decode, track, write), and tracking alone, as it is by default and in float32,
against a plain loop of the same network that encodes each frame by itself and matches densely, as the official code does.
Each way is timed twice, in turns, and the better time counts, since machines are shared. ``--official``: tracking alone, in
the widths of the official network (with random weights) and at 480 pixels' short side.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

import tam_dist
from tam_dist.config import Config, load_config
from tam_dist.coordination.events import Event, StagesMeasured
from tam_dist.media.reader import open_video
from tam_dist.models.xmem.config import XMemConfig
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import save_network
from tam_dist.preparation import settle
from tam_dist.tracking.opening import open_models
from tam_dist.types import UInt8Array
from tests.benchmarks.loops import given_masks, plain_fps, session_fps

SIZES = ((480, 854), (720, 1280))


def clip(path: str, size: tuple[int, int], length: int) -> UInt8Array:
    with open_video(path) as reader:
        frames = reader.read(0, length)
    return np.stack([cv2.resize(f, size[::-1], interpolation=cv2.INTER_AREA) for f in frames])


def official_weights(folder: Path) -> list[str]:
    """Settings that use a network of official widths, whose weights are random."""
    torch.manual_seed(0)
    save_network(XMem(XMemConfig()), folder / "xmem.safetensors")
    return [f"models.xmem={folder / 'xmem.safetensors'}", "propagation.short_side=480"]


def tracking_fps(frames: UInt8Array, objects: int, config: Config) -> dict[str, float]:
    """Of each way by its name."""
    masks = given_masks((frames.shape[1], frames.shape[2]), objects)
    exact = replace(config, runtime=replace(config.runtime, precision="fp32"))
    ways = {"tracking": config, "tracking in fp32": exact}
    best = dict.fromkeys((*ways, "plain loop"), 0.0)
    for _ in range(2):
        for name, chosen in ways.items():
            best[name] = max(best[name], session_fps(frames, masks, chosen, open_models(chosen)))
        models, ours = open_models(exact), torch.get_num_threads()
        torch.set_num_threads(config.runtime.threads)
        best["plain loop"] = max(best["plain loop"], plain_fps(frames, masks, config.propagation, models))
        torch.set_num_threads(ours)
    return best


def engine_fps(frames: UInt8Array, folder: Path, settings: list[str]) -> tuple[float, dict[str, float]]:
    """Frames per second of a whole run, model loading included, and busy seconds by role."""
    source = folder / f"{frames.shape[1]}"
    source.mkdir()
    for t, frame in enumerate(frames):
        cv2.imwrite(str(source / f"{t:05d}.jpg"), frame[:, :, ::-1])
    busy: dict[str, float] = {}

    def account(event: Event) -> None:
        if isinstance(event, StagesMeasured):
            busy.update({load.role.value: load.seconds for load in event.loads})

    (mask,) = given_masks((frames.shape[1], frames.shape[2]), 1)
    start = time.perf_counter()
    tam_dist.track(source, [tam_dist.mask("it", mask)], out=folder / f"p{frames.shape[1]}", settings=settings, listener=account)
    return len(frames) / (time.perf_counter() - start), busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument("--frames", type=int, default=160)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--official", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = [*(official_weights(Path(folder)) if asked.official else []), "runtime.device=cpu", *asked.settings]
        config = settle(load_config(settings))
        print(
            f"{config.runtime.threads} threads of {os.cpu_count()} cores, {config.runtime.precision}, {asked.objects} objects"
        )
        for size in SIZES[: 1 if asked.official else None]:
            frames = clip(asked.video, size, asked.frames)
            found = tracking_fps(frames, asked.objects, config)
            print(f"{size[1]}x{size[0]}: " + ", ".join(f"{name} {fps:.2f}" for name, fps in found.items()) + " frames/s")
            if not asked.official:
                whole, busy = engine_fps(frames, Path(folder), settings)
                print(f"   whole engine {whole:.2f}; busy " + ", ".join(f"{r} {s:.1f} s" for r, s in sorted(busy.items())))


if __name__ == "__main__":
    main()

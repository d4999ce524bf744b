"""Masks of a 1080p film with 8 moving objects: bytes per frame, and the time to write and to read, against indexed PNG files.

    python -m tests.benchmarks.mask_store [--frames 64] [--size 1920x1080]

The PNG files are what annotation tools commonly keep: one indexed (palette) image a frame, Pillow's default settings.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from storage.commits import labels_digest
from storage.manifest import Manifest
from storage.project_store import ProjectStore
from tam_dist.config import load_config, to_dict
from tam_dist.types import ChunkResult, TrackedObject, VideoInfo

OBJECTS, CHUNK = 8, 16


def moving_blobs(frames: int, height: int, width: int) -> np.ndarray:
    """uint8 (T, H, W): objects with wavy outlines that move, turn and cover one another, as tracked masks do."""
    rng = np.random.default_rng(0)
    start = rng.uniform((0.1, 0.1), (0.9, 0.9), (OBJECTS, 2)) * (height, width)
    speed = rng.uniform(-6, 6, (OBJECTS, 2))
    radius = rng.uniform(0.08, 0.2, OBJECTS) * height
    lobes, ripple = rng.integers(3, 7, OBJECTS), rng.uniform(-1, 1, (OBJECTS, 12))
    turn = np.linspace(-np.pi, np.pi, 2000)
    labels = np.zeros((frames, height, width), np.uint8)
    for t in range(frames):
        for k in range(OBJECTS):
            cy, cx = (start[k] + speed[k] * t) % (height, width)
            reach = int(1.4 * radius[k])
            rows = slice(max(0, int(cy) - reach), min(height, int(cy) + reach))
            columns = slice(max(0, int(cx) - reach), min(width, int(cx) + reach))
            y, x = np.mgrid[rows, columns]
            outline = 1 + 0.2 * np.sin(lobes[k] * (turn + 0.03 * t))
            for order, amplitude in enumerate(ripple[k]):  # fine detail that changes from frame to frame
                outline += 0.015 * amplitude * np.sin((11 + 9 * order) * turn + 0.5 * t)
            edge = radius[k] * np.interp(np.arctan2(y - cy, x - cx), turn, outline)
            labels[t, rows, columns][np.hypot(y - cy, x - cx) < edge] = k + 1
    return labels


def milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)


def stored_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    frames = options.frames
    labels = moving_blobs(frames, height, width)
    print(f"{frames} frames, {width}x{height}, {OBJECTS} objects, {np.mean(labels > 0):.0%} foreground")
    order = random.Random(0).choices(range(frames), k=50)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = Manifest(
            source=VideoInfo("film.mp4", frames, width, height, Fraction(24), Fraction(1, 24), 0, "", "pyav"),
            chunk_size=CHUNK,
            objects=tuple(TrackedObject(k + 1, str(k), (0, 0, 0)) for k in range(OBJECTS)),
            models={},
            config=to_dict(load_config()),
        )
        store = ProjectStore.create(folder / "project", manifest, np.arange(frames))
        commits = []
        for index in range(manifest.chunk_count):
            rows = manifest.chunk_frames(index)
            scores = np.random.default_rng(index).random((len(rows), OBJECTS), np.float32)
            origin = np.full(scores.shape, 2, np.uint8)
            result = ChunkResult(index, rows.start, labels[rows.start : rows.stop], scores, origin)
            commits.append(milliseconds(partial(store.commit, result)) / len(rows))
        store.close()
        digests = milliseconds(lambda: labels_digest(labels[:CHUNK])) / CHUNK
        reader = ProjectStore.open(folder / "project", write=False)
        assert np.array_equal(reader.labels[:], labels)
        reads = [milliseconds(partial(reader.labels.__getitem__, f)) for f in order]
        whole = milliseconds(lambda: reader.labels[:CHUNK]) / CHUNK
        size = stored_bytes(folder / "project" / "masks.zarr") / frames
        files = sum(1 for p in (folder / "project").rglob("*") if p.is_file())
        print(f"project: {size / 1024:6.1f} KiB a frame, {files} files")
        print(f"  commit, fsync included  {statistics.median(commits):6.2f} ms a frame (SHA-256: {digests:.2f})")
        print(f"  random frame            {statistics.median(reads):6.2f} ms (slowest {max(reads):.2f})")
        print(f"  a chunk in order        {whole:6.2f} ms a frame")

        images = folder / "png"
        images.mkdir()
        palette = [channel for k in range(256) for channel in (k, 255 - k, k * 7 % 256)]

        def save(frame: int) -> None:
            image = Image.fromarray(labels[frame], mode="P")
            image.putpalette(palette)
            image.save(images / f"{frame:06d}.png")

        def load(frame: int) -> None:
            np.asarray(Image.open(images / f"{frame:06d}.png"))

        saves = [milliseconds(partial(save, f)) for f in range(frames)]
        loads = [milliseconds(partial(load, f)) for f in order]
        print(f"indexed PNG: {stored_bytes(images) / frames / 1024:6.1f} KiB a frame, {frames} files")
        print(f"  write, no fsync         {statistics.median(saves):6.2f} ms a frame")
        print(f"  random frame            {statistics.median(loads):6.2f} ms (slowest {max(loads):.2f})")


if __name__ == "__main__":
    main()

"""What corrections cost: ``python -m tests.benchmarks.corrections [FRAMES [CORRECTIONS]] [key=value …]``.

A square goes to and fro over noise for 1,000 frames; ten masks, at random places, are given one after the other once it is
tracked. Printed are the frames that each tracks again, against starting from nothing and against tracking on to the end, and
J&F. Then the same film is tracked once more and corrected meanwhile: the time from asking to the first chunk that was made
again for it, and how much of it the workers were busy.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tam_dist
from tam_dist.coordination.events import CallFinished, ChunkCommitted, ChunkTracked, Event
from tam_dist.evaluation.metrics import contour_accuracy, region_similarity
from tam_dist.types import BoolArray, UInt8Array
from tests.tiny import square, write_frames

SETTINGS = ("propagation.short_side=96", "runtime.threads=1", "tracking.direction=both")


def truth(frame: int) -> BoolArray:
    return square(_x(frame), 10)


def _x(frame: int) -> int:
    return 4 + abs((2 * frame) % 80 - 40)


def film(frames: int) -> UInt8Array:
    """uint8 (T, 48, 64, 3)."""
    ground = np.random.default_rng(3).integers(0, 90, (48, 64, 3), dtype=np.uint8)
    found = np.repeat(ground[None], frames, axis=0)
    for frame in range(frames):
        found[frame][truth(frame)] = 220
    return found


def j_and_f(project: tam_dist.Project, frames: int) -> float:
    found = []
    for frame in range(1, frames, 7):
        mask = project.masks["square"][frame]
        found.append((region_similarity(mask, truth(frame)) + contour_accuracy(mask, truth(frame))) / 2)
    return 100 * float(np.mean(found))


class Frames:
    """Counts those that are tracked."""

    def __init__(self) -> None:
        self.tracked = 0

    def __call__(self, event: Event) -> None:
        self.tracked += event.frames if isinstance(event, ChunkTracked) else 0


class Latency:
    """Corrects a frame of chunk 2 when chunk 6 is stored: ``seconds`` until it is again, workers ``busy`` of them."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._asked: float | None = None
        self.seconds = self.busy = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallFinished) and self._asked is not None and not self.seconds:
            self.busy += event.seconds
        if not isinstance(event, ChunkCommitted):
            return
        if event.chunk == 6 and self._asked is None:
            tam_dist.correct(self._out, [tam_dist.mask("square", truth(33), frame=33)])
            self._asked = time.perf_counter()
        elif event.chunk == 2 and self._asked is not None and not self.seconds:
            self.seconds = time.perf_counter() - self._asked


def main(frames: int, corrections: int, settings: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        video = write_frames(Path(folder) / "video", film(frames))
        out, prompts = Path(folder) / "p", [tam_dist.mask("square", truth(0))]
        count = Frames()
        project = tam_dist.track(video, prompts, out=out, settings=settings, listener=count)
        print(f"tracked {count.tracked} frames, J&F {j_and_f(project, frames):.1f}")
        places = random.Random(4).sample(range(1, frames), corrections)
        again = 0
        for frame in places:
            tam_dist.correct(out, [tam_dist.mask("square", truth(frame), frame=frame)])
            count, start = Frames(), time.perf_counter()
            project = tam_dist.resume(out, listener=count)
            again += count.tracked
            print(f"frame {frame:4}: {count.tracked:4} frames tracked again in {time.perf_counter() - start:.1f} s", flush=True)
        to_the_end = sum(frames - frame // 16 * 16 for frame in places)
        print(f"{corrections} corrections: {again} frames; to the end {to_the_end}; from nothing {corrections * frames}")
        print(f"J&F {j_and_f(project, frames):.1f}")
        latency = Latency(Path(folder) / "live")
        tam_dist.track(video, prompts, out=Path(folder) / "live", settings=settings, listener=latency)
        print(f"asked to first chunk made again: {latency.seconds:.2f} s, of which workers were busy {latency.busy:.2f} s")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    frames, corrections, *_ = (*numbers, *(1000, 10)[len(numbers) :])
    main(frames, corrections, [*SETTINGS, *(word for word in sys.argv[1:] if "=" in word)])

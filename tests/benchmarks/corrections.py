"""What corrections cost: ``python -m tests.benchmarks.corrections [FRAMES [CORRECTIONS]] [key=value …]``.

A square goes to and fro over noise for 1,000 frames; ten masks, at random places, are given one after the other once it is
tracked. Printed are the frames that each tracks again, against tracking on to the end and against starting from nothing, and
J&F of each. Then the same film is tracked once more, on each executor, and corrected meanwhile: the time from asking to the
first chunk that was made again for it, and how many chunks were tracked in that time.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tam_dist
from tam_dist.coordination.events import ChunkCommitted, ChunkTracked, Event
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
    """Corrects a frame of chunk 2 when chunk 6 is stored: ``seconds`` until it is again, with ``chunks`` tracked meanwhile, and
    what one takes (``each``), in seconds.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._first = self._asked = 0.0
        self.seconds = self.each = 0.0
        self.chunks = 0

    def __call__(self, event: Event) -> None:
        now = time.perf_counter()
        if isinstance(event, ChunkTracked) and self._asked and not self.seconds:
            self.chunks += 1
        if not isinstance(event, ChunkCommitted):
            return
        if event.chunk == 1:
            self._first = self._first or now
        elif event.chunk == 6 and not self._asked:
            self.each = (now - self._first) / 5
            tam_dist.correct(self._out, [tam_dist.mask("square", truth(33), frame=33)])
            self._asked = time.perf_counter()
        elif event.chunk == 2 and self._asked and not self.seconds:
            self.seconds = now - self._asked


def one_by_one(video: Path, out: Path, frames: int, places: list[int], settings: list[str]) -> None:
    count = Frames()
    project = tam_dist.track(video, [tam_dist.mask("square", truth(0))], out=out, settings=settings, listener=count)
    print(f"tracked {count.tracked} frames, J&F {j_and_f(project, frames):.1f}")
    again = 0
    for frame in places:
        tam_dist.correct(out, [tam_dist.mask("square", truth(frame), frame=frame)])
        count, start = Frames(), time.perf_counter()
        project = tam_dist.resume(out, listener=count)
        again += count.tracked
        seconds, quality = time.perf_counter() - start, j_and_f(project, frames)
        print(f"frame {frame:4}: {count.tracked:4} frames again in {seconds:4.1f} s, J&F {quality:.1f}", flush=True)
    print(f"{len(places)} corrections: {again} frames")


def main(frames: int, corrections: int, settings: list[str]) -> None:
    places = random.Random(4).sample(range(1, frames), corrections)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_frames(folder / "video", film(frames))
        print("ending where masks come back to what they were:")
        one_by_one(video, folder / "early", frames, places, settings)
        print("to the end:")
        one_by_one(video, folder / "late", frames, places, [*settings, "tracking.settled_frames=0"])
        count, prompts = Frames(), [tam_dist.mask("square", truth(frame), frame=frame) for frame in (0, *sorted(places))]
        project = tam_dist.track(video, prompts, out=folder / "anew", settings=settings, listener=count)
        print(f"from nothing, with all of them: {count.tracked} frames each time, J&F {j_and_f(project, frames):.1f}")
        for executor in ("inline", "ray"):
            heard = Latency(folder / executor)
            first = [tam_dist.mask("square", truth(0))]
            tam_dist.track(video, first, out=folder / executor, executor=executor, settings=settings, listener=heard)
            print(
                f"{executor}: asked to first chunk made again {heard.seconds:.2f} s, in which {heard.chunks} chunks were "
                f"tracked ({heard.each:.2f} s each)"
            )


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    frames, corrections, *_ = (*numbers, *(1000, 10)[len(numbers) :])
    main(frames, corrections, [*SETTINGS, *(word for word in sys.argv[1:] if "=" in word)])

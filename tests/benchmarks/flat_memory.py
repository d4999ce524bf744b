"""Resident memory over a long video: python -m tests.benchmarks.flat_memory [frames]

A small generated video is tracked inline with the real models at toy size (random weights). Prints the resident memory
after every tenth of the way, and its growth since a tenth.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import av
import psutil

import tam_dist
from tam_dist.coordination.events import ChunkCommitted, Event
from tests.tiny import moving_square, square, write_weights


def write_video(path: Path, frame_count: int) -> None:
    loop = moving_square(200)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = loop.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for t in range(frame_count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(loop[t % len(loop)], format="rgb24")))
        container.mux(stream.encode())


def main(frame_count: int = 20_000) -> None:
    process = psutil.Process()
    marks: dict[int, float] = {}

    def watch(event: Event) -> None:
        if isinstance(event, ChunkCommitted) and event.frames_done // (frame_count // 10) > len(marks):
            marks[event.frames_done] = process.memory_info().rss / 2**20
            print(f"{event.frames_done:7d} frames  {marks[event.frames_done]:8.1f} MiB", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mp4"
        write_video(video, frame_count)
        settings = [s for s in write_weights(Path(folder)) if not s.startswith("tracking.chunk_size")]
        prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.click("dog", 40, 30, frame=100)]
        tam_dist.track(video, prompts, out=Path(folder) / "project", settings=settings, listener=watch)
    first, *_, last = marks.values()
    print(f"growth from the first tenth to the end: {100 * (last / first - 1):+.1f} %")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

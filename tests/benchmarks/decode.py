"""Decoding: frames a second and resident memory of the two readers, chunk after chunk and at random.

    python -m tests.benchmarks.decode VIDEO [VIDEO …] [--frames N]

Each row is measured in a process of its own. CPU seconds are the process's, so other work on the machine matters little.
`ahead` is how much memory grows in two idle seconds after a read: what decord costs without the seek(0) that the reader adds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
CHUNK = 16
MIB = 1 << 20


def measure(video: str, reader: str, frames: int, results: multiprocessing.Queue[str]) -> None:
    from tam_dist.errors import VideoError
    from tam_dist.media.decord_reader import DecordReader
    from tam_dist.media.indexing import build_index
    from tam_dist.media.pyav_reader import PyAVReader
    from tam_dist.media.source import resolve

    process = psutil.Process()

    def cpu() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    source = resolve(video)
    begun = cpu()
    index = build_index(source)
    indexing = cpu() - begun
    try:
        opened = DecordReader(source, index) if reader.startswith("decord") else PyAVReader(source, index)
    except VideoError as error:
        results.put(f"| {reader} | {error} | | | | | |")
        return
    if reader == "decord, no seek(0)" and isinstance(opened, DecordReader):
        opened._video.seek = lambda frame: None
    total = min(frames, index.frame_count) // CHUNK * CHUNK
    memory: list[int] = []
    begun, clock = cpu(), time.perf_counter()
    for start in range(0, total, CHUNK):
        opened.read(start, start + CHUNK)
        memory.append(process.memory_info().rss)
    used, wall = cpu() - begun, time.perf_counter() - clock
    places = random.Random(0)
    begun = cpu()
    for _ in range(5):
        start = places.randrange(index.frame_count - CHUNK)
        opened.read(start, start + CHUNK)
    at_random = (cpu() - begun) / 5
    before = process.memory_info().rss
    time.sleep(2)
    ahead = process.memory_info().rss - before
    quarter = max(1, len(memory) // 4)
    results.put(
        f"| {reader} | {indexing:.2f} | {1000 * used / total:.1f} | {total / wall:.0f} | {1000 * at_random:.0f} "
        f"| {memory[quarter - 1] // MIB} / {memory[-1] // MIB} | {ahead // MIB} |"
    )
    opened.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("videos", nargs="+")
    arguments.add_argument("--frames", type=int, default=640)
    options = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    for video in options.videos:
        print(f"\n{Path(video).name}, {options.frames} frames\n")
        print(
            "| reader | index, CPU s | in order, CPU ms/frame | frames/s | random 16, CPU ms | MiB at 1/4, end | ahead, MiB |"
        )
        print("|---|---|---|---|---|---|---|")
        for reader in ("pyav", "decord", "decord, no seek(0)"):
            results: multiprocessing.Queue[str] = context.Queue()
            process = context.Process(target=measure, args=(video, reader, options.frames, results))
            process.start()
            process.join()
            print(results.get() if process.exitcode == 0 else f"| {reader} | failed, exit code {process.exitcode} | | | | | |")


if __name__ == "__main__":
    main()

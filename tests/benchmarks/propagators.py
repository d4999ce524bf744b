"""One film on one propagator and on several, with the real models: frames a second, and whether the masks are the same.

    python -m tests.benchmarks.propagators VIDEO --click rabbit@60:430,250 --propagators 1 2 --rounds 2

The film's segments are tracked by processes with one thread each. Start-up is left out: counted is from when the film has
begun to its last commit, and chunks count for each pass that stores them. With as many cores as propagators these share them
with the decoder, the writer and Ray.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import ray

from actors.driver import run_on_ray
from storage.project_store import ProjectStore
from tam_dist.config import load_config
from tam_dist.coordination.calls import Role
from tam_dist.coordination.events import ChunkCommitted, Event, StagesMeasured, VideoStarted
from tam_dist.preparation import prepare, settle
from tam_dist.prompts import parse_click


class Watch:
    """When the film began and when its chunks were stored; how many propagators had work."""

    def __init__(self) -> None:
        self.began, self.ended, self.frames, self.used = 0.0, 0.0, 0, 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, VideoStarted):
            self.began = self.began or time.perf_counter()
        elif isinstance(event, ChunkCommitted):
            self.ended = time.perf_counter()
            self.frames += event.frames
        elif isinstance(event, StagesMeasured):
            self.used = next((load.workers for load in event.loads if load.role is Role.PROPAGATOR), 0)

    @property
    def speed(self) -> float:
        return self.frames / (self.ended - self.began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--click", action="append", required=True)
    parser.add_argument("--propagators", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_intermixed_args()
    usual = ["cluster.preset=cpu", "runtime.threads=1", "runtime.encode_ahead=off", "tracking.segments=8"]
    best = dict.fromkeys(arguments.propagators, 0.0)
    digests = set()
    for _ in range(arguments.rounds):
        for count in arguments.propagators:
            folder = Path(tempfile.mkdtemp(prefix="tam-dist-propagators-"))
            config = settle(load_config([*usual, f"cluster.propagators={count}", *arguments.settings]))
            job = prepare(arguments.video, [parse_click(text) for text in arguments.click], str(folder / "film"), config)
            watch = Watch()
            (outcome,) = run_on_ray([job], config, namespace=f"propagators-{count}", listener=watch)
            outcome.raise_failure()
            ray.shutdown()  # so that the next one's workers are alone
            digests.add(hash(ProjectStore.open(job.project, write=False).labels[:].tobytes()))
            shutil.rmtree(folder)
            best[count] = max(best[count], watch.speed)
            print(f"{count} propagators: {watch.frames} frames, {watch.used} had work, {watch.speed:.2f} frames/s", flush=True)
    first, *others = arguments.propagators
    print("the masks are the same" if len(digests) == 1 else "THE MASKS DIFFER")
    for count in others:
        print(f"{count} over {first}, best of each: {best[count] / best[first]:.2f}")


if __name__ == "__main__":
    main()

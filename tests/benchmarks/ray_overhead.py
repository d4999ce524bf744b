"""What Ray costs with the real embedded models on one propagator: frames a second against the executor without Ray.

    python -m tests.benchmarks.ray_overhead --frames 128 --rounds 2

Both run the same clip in turn, several times; start-up is left out: counted is the time from the first commit to the last.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import tam_dist
from actors.driver import run_on_ray
from tam_dist.config import load_config
from tam_dist.coordination.events import ChunkCommitted, Event
from tam_dist.preparation import prepare, settle
from tam_dist.running import run_inline
from tests.tiny import moving_square, write_frames

HEIGHT, WIDTH = 240, 320


class Speed:
    """Frames a second from the first commit to the last."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._frames: list[int] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChunkCommitted):
            self._times.append(time.perf_counter())
            self._frames.append(event.frames)

    @property
    def value(self) -> float:
        return sum(self._frames[1:]) / (self._times[-1] - self._times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--short-side", type=int, default=96)
    parser.add_argument("--address")
    arguments = parser.parse_args()
    config = settle(load_config(["cluster.preset=cpu", "runtime.threads=1", f"propagation.short_side={arguments.short_side}"]))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:26, 4:20] = True
    with tempfile.TemporaryDirectory(prefix="tam-dist-overhead-") as folder:
        video = write_frames(Path(folder) / "video", moving_square(arguments.frames, height=HEIGHT, width=WIDTH))
        found: dict[str, list[float]] = {"inline": [], "ray": []}
        for n in range(arguments.rounds):
            for name in found:
                job = prepare(str(video), [tam_dist.mask("square", mask)], f"{folder}/{name}{n}", config)
                speed = Speed()
                if name == "ray":
                    (outcome,) = run_on_ray([job], config, address=arguments.address, namespace="overhead", listener=speed)
                else:
                    (outcome,) = run_inline([job], config, listener=speed)
                outcome.raise_failure()
                found[name].append(speed.value)
                print(f"{name}: {speed.value:.2f} frames/s", flush=True)
        print(f"Ray over inline, best of each: {max(found['ray']) / max(found['inline']):.3f}")


if __name__ == "__main__":
    main()

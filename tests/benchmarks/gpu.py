"""Everything that only a GPU can show, in one report: python -m tests.benchmarks.gpu [--out FILE] [--device cuda] [--small]

Golden vectors, the same bits twice, speed against the plain loop at 480p and 1080p with 1, 5 and 20 objects, memory over
2,000 frames, two sessions that share the card, and SAM beside XMem. Networks have official widths and random weights, so
nothing is downloaded: speed and memory do not depend on them. Under ten minutes on a GPU of a data centre; ``--small
--device cpu`` goes through the same checks in tiny sizes, to see that they run. Exits with 1 where a check fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import torch

from tam_dist.config import Config, load_config
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.xmem.config import SMALL, XMemConfig
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import save_network
from tam_dist.preparation import settle
from tam_dist.tracking.opening import open_models
from tam_dist.types import FrameChunk, ObjectQuery, UInt8Array
from tests.benchmarks.loops import given_masks, new_session, plain_fps, session_fps, track
from tests.golden.cases import Case, advance, read_arrays
from tests.golden.weights import TINY as GOLDEN
from tests.golden.weights import make_weights

#: What golden vectors may differ by on a GPU in float32, whose sums have another order.
_TOLERANCE = 5e-3
#: A memory that grows by more than this share between the middle and the end of a long video is not flat.
_GROWTH = 0.02


@dataclass(frozen=True)
class Scale:
    """How large the checks are; frame sizes are (height, width)."""

    network: XMemConfig
    short_side: int
    sizes: tuple[tuple[int, int], ...]
    objects: tuple[int, ...]
    frames: int
    long: int


FULL = Scale(XMemConfig(), 480, ((480, 854), (1080, 1920)), (1, 5, 20), 96, 2000)
TINY = Scale(SMALL, 64, ((64, 96), (96, 128)), (1, 3), 32, 160)


@dataclass(frozen=True)
class Bench:
    """``config`` is settled; ``exact`` is the same in float32."""

    scale: Scale
    config: Config

    @property
    def exact(self) -> Config:
        return replace(self.config, runtime=replace(self.config.runtime, precision="fp32"))

    @property
    def device(self) -> torch.device:
        return torch.device(self.config.runtime.device)


class CheckFailedError(Exception):
    """What is not as it should be."""


def video(size: tuple[int, int], length: int) -> UInt8Array:
    """uint8 (T, H, W, 3): noise that drifts by two pixels a frame."""
    height, width = size
    ground = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return np.stack([np.roll(ground, 2 * t, axis=1) for t in range(length)])


# --- checks: each yields lines of the report ---------------------------------------------------------------------------


def golden(bench: Bench) -> Iterator[str]:
    """In float32, against vectors that the plain restatement of XMem gave on a CPU."""
    network = XMem.from_official(make_weights(GOLDEN)).to(bench.device).requires_grad_(False)
    for name in ("case1", "case2", "case3"):
        worst = _worst_difference(Case.load(name, read_arrays(name)), network, bench.device)
        yield f"{name}: largest difference {worst:.1e}"
        if worst > _TOLERANCE:
            raise CheckFailedError(f"{name} differs by {worst:.1e}, more than {_TOLERANCE:.0e}")


def determinism(bench: Bench) -> Iterator[str]:
    """The same video twice gives the same bits."""
    frames = video(bench.scale.sizes[0], bench.scale.frames)
    masks = given_masks(bench.scale.sizes[0], 3)
    for config in (bench.exact, bench.config):
        models, runs = open_models(config), []
        for _ in range(2):
            session = new_session(len(frames), masks, config, models)
            labels = np.concatenate(list(track(session, frames, config.tracking.chunk_size)))
            runs.append((labels, session.snapshot()))
        same = np.array_equal(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1]
        yield f"{config.runtime.precision}: masks and state of two runs are {'the same' if same else 'DIFFERENT'}"
        if not same:
            raise CheckFailedError(f"two runs in {config.runtime.precision} differ")


def throughput(bench: Bench) -> Iterator[str]:
    """Tracking alone against the plain loop in float32, frames per second."""
    yield "| size | objects | tracking | in fp32 | plain loop | gain |"
    yield "|---|---|---|---|---|---|"
    models, exact = open_models(bench.config), open_models(bench.exact)
    for size in bench.scale.sizes:
        frames = video(size, bench.scale.frames)
        for count in bench.scale.objects:
            masks = given_masks(size, count)
            session_fps(frames[: bench.config.tracking.chunk_size], masks, bench.config, models)  # kernels are loaded
            ours = session_fps(frames, masks, bench.config, models)
            slower = session_fps(frames, masks, bench.exact, exact)
            plain = plain_fps(frames, masks, bench.config.propagation, exact)
            yield f"| {size[1]}x{size[0]} | {count} | {ours:.1f} | {slower:.1f} | {plain:.1f} | {ours / plain:.2f} |"


def memory(bench: Bench) -> Iterator[str]:
    """Over a long video, once long-term memory is at work."""
    size, length = bench.scale.sizes[0], bench.config.tracking.chunk_size
    loop = video(size, bench.scale.frames)
    chunks = bench.scale.long // length
    session = new_session(chunks * length, given_masks(size, 3), bench.config, open_models(bench.config))
    peaks = []
    for number in range(chunks):
        start = number * length % len(loop)
        session.step(FrameChunk(number, number * length, loop[start : start + length]))
        peaks.append(_memory_in_use(bench.device))
        if number % max(1, chunks // 8) == 0:
            yield f"frame {(number + 1) * length}: {peaks[-1] / 2**20:.0f} MiB"
    middle = len(peaks) // 2
    growth = max(peaks[middle:]) / max(peaks[middle // 2 : middle]) - 1
    yield f"second half against the second quarter: {growth:+.1%}"
    if bench.device.type == "cuda" and growth > _GROWTH:
        raise CheckFailedError(f"memory grows by {growth:.1%}")


def two_sessions(bench: Bench) -> Iterator[str]:
    """Two videos on one network, a chunk of each in turn: the masks of each alone, and how fast both."""
    size, step = bench.scale.sizes[0], bench.config.tracking.chunk_size
    clips = [video(size, bench.scale.frames), video(size, bench.scale.frames)[::-1].copy()]
    masks, models = given_masks(size, 2), open_models(bench.config)
    alone = [np.concatenate(list(track(new_session(len(clip), masks, bench.config, models), clip, step))) for clip in clips]
    start = time.perf_counter()
    turns = [track(new_session(len(clip), masks, bench.config, models), clip, step) for clip in clips]
    together = [np.concatenate(parts) for parts in zip(*zip(*turns, strict=True), strict=True)]
    seconds = time.perf_counter() - start
    yield f"{2 * bench.scale.frames / seconds:.1f} frames/s together"
    if not all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True)):
        raise CheckFailedError("a session's masks depend on the other's")


def sam_beside_xmem(bench: Bench) -> Iterator[str]:
    """SAM answers in a second thread, as a refiner on the same card would, while a session tracks."""
    size = bench.scale.sizes[0]
    frames, masks = video(size, bench.scale.frames), given_masks(size, 1)
    models, segmenter = open_models(bench.config), open_segmenter(bench.config)
    query = ObjectQuery(1, np.array([[size[1] / 2, size[0] / 2]], np.float32), np.array([1], np.int64))
    alone = session_fps(frames, masks, bench.config, models)
    answers, stop = 0, threading.Event()

    def ask() -> None:
        nonlocal answers
        while not stop.is_set():
            segmenter.segment(frames[answers % len(frames)], [query])
            answers += 1

    asking = threading.Thread(target=ask)
    start = time.perf_counter()
    asking.start()
    try:
        beside = session_fps(frames, masks, bench.config, models)
    finally:
        stop.set()
        asking.join()
    rate = answers / (time.perf_counter() - start)
    yield f"tracking {alone:.1f} frames/s alone, {beside:.1f} beside SAM, which gives {rate:.1f} answers/s"


CHECKS: tuple[Callable[[Bench], Iterator[str]], ...] = (
    golden,
    determinism,
    throughput,
    memory,
    two_sessions,
    sam_beside_xmem,
)


def _worst_difference(case: Case, network: XMem, device: torch.device) -> float:
    core, worst = InferenceCore(network, case.config, device=device), 0.0
    for t in range(len(case.frames)):
        found = advance(core, case, t)[1:, case.kept, case.kept].cpu()
        worst = max(worst, float((found - case.expected(t)).abs().max()))
    return worst


def _memory_in_use(device: torch.device) -> int:
    """The most bytes since the last call: of the card, or of this process without one."""
    if device.type != "cuda":
        return int(psutil.Process().memory_info().rss)
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


# --- report ------------------------------------------------------------------------------------------------------------


def run(bench: Bench, write: Callable[[str], None]) -> bool:
    """Whether all checks passed. A check that breaks does not stop the others."""
    good = True
    for check in CHECKS:
        began, failure = time.perf_counter(), ""
        write(f"\n## {check.__name__.replace('_', ' ')}\n\n{check.__doc__}\n")
        try:
            for line in check(bench):
                write(line)
        except CheckFailedError as error:
            failure = str(error)
        except Exception:
            failure = traceback.format_exc()
        write(f"\n{'FAILED: ' + failure if failure else 'passed'} ({time.perf_counter() - began:.0f} s)")
        good = good and not failure
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny networks and frames")
    parser.add_argument("--out", type=Path, default=Path("gpu-report.md"))
    parser.add_argument("settings", nargs="*", metavar="key=value")
    asked = parser.parse_args()
    scale = TINY if asked.small else FULL
    with tempfile.TemporaryDirectory() as folder, asked.out.open("w", encoding="utf-8") as report:
        torch.manual_seed(0)
        save_network(XMem(scale.network), Path(folder) / "xmem.safetensors")
        settings = [f"models.xmem={folder}/xmem.safetensors", f"propagation.short_side={scale.short_side}"]
        config = settle(load_config([*settings, f"runtime.device={asked.device}", *asked.settings]))

        def write(line: str) -> None:
            print(line, flush=True)
            report.write(line + "\n")
            report.flush()

        name = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "CPU"
        write(f"# Checks on {name}\n\ntorch {torch.__version__}, {config.runtime.precision}, {config.runtime.threads} threads")
        return 0 if run(Bench(scale, config), write) else 1


if __name__ == "__main__":
    sys.exit(main())

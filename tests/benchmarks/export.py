"""Each export format on a project of many frames: frames a second, bytes a frame, and the most memory it took.

    python -m tests.benchmarks.export [--frames 2000] [--size 854x480] [--formats coco,davis] [--folder /tmp/…]

Each format runs in a process of its own. With ``--frames 20000 --size 160x90`` it shows that memory does not grow with length.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tam_dist.export.formats import FORMATS
from tam_dist.media.reader import open_video
from tam_dist.types import LabelArray
from tests.finished import store_chunks

CHUNK, PERIOD = 16, 64
NAMES = ("cat", "dog", "bird")

_EXPORT = r"""
import json, re, sys, time
from pathlib import Path
from tam_dist.project import Project
def most():  # of this program's own memory, MiB; getrusage reports what the parent had before, too
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
project, form, out, last = Project.open(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
project.export(form, out.with_name("warm-" + out.name), frames=(0, min(last, 31)))  # what is loaded once, and caches
before = most()
start = time.monotonic()
project.export(form, out, frames=(0, last))
seconds = time.monotonic() - start
peak = most()
size = sum(p.stat().st_size for p in ([out] if out.is_file() else out.rglob("*")) if p.is_file())
print(json.dumps({"seconds": seconds, "before": before, "peak": peak, "bytes": size}))
"""


@dataclass(frozen=True)
class Cost:
    """``peak`` and ``before`` in MiB of the exporting process."""

    seconds: float
    before: float
    peak: float
    bytes: int


def moving(height: int, width: int) -> LabelArray:
    """uint8 (PERIOD, H, W): three discs on circles, one with a hole, partly over one another."""
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((PERIOD, height, width), np.uint8)
    for t in range(PERIOD):
        for k in range(3):
            turn = 2 * np.pi * (t / PERIOD + k / 3)
            away = np.hypot(y - height * (0.5 + 0.25 * np.sin(turn)), x - width * (0.5 + 0.25 * np.cos(turn)))
            labels[t][(away < height * 0.2) & ((k != 1) | (away > height * 0.05))] = k + 1
    return labels


def make_project(folder: Path, frames: int, height: int, width: int) -> Path:
    """A finished project of ``frames`` with its video."""
    video = folder / "film.mp4"
    labels = moving(height, width)
    with av.open(str(video), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(frames):
            picture = np.repeat(60 + 50 * labels[t % PERIOD][:, :, None], 3, axis=2).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))

    def chunks() -> Iterator[LabelArray]:
        for start in range(0, frames, CHUNK):
            yield labels[[t % PERIOD for t in range(start, min(start + CHUNK, frames))]]

    with open_video(video) as reader:
        assert reader.info.frame_count == frames
        assert reader.info.fps == Fraction(25)
        store_chunks(folder / "project", reader.info, reader.pts, chunks(), NAMES, CHUNK)
    return folder / "project"


def measure(project: Path, form: str, out: Path, frames: int) -> Cost:
    """Export the first ``frames`` frames in a fresh process."""
    target = out / f"{form}-{frames}{FORMATS[form].suffix}"
    words = [sys.executable, "-c", _EXPORT, str(project), form, str(target), str(frames - 1)]
    root = str(Path(__file__).resolve().parents[2])
    ran = subprocess.run(words, capture_output=True, text=True, cwd=root)
    if ran.returncode:
        raise RuntimeError(f"{form}: {ran.stderr}")
    return Cost(**json.loads(ran.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", default="854x480")
    parser.add_argument("--formats", default=",".join(FORMATS))
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = make_project(folder, arguments.frames, height, width)
        print(f"{arguments.frames} frames {arguments.size}, {len(NAMES)} objects\n")
        print(f"{'format':<20} {'frames/s':>9} {'bytes/frame':>12} {'peak MiB':>9} {'more than for 32 frames':>24}")
        for form in arguments.formats.split(","):
            cost = measure(project, form, folder, arguments.frames)
            speed, size = arguments.frames / cost.seconds, cost.bytes / arguments.frames
            print(f"{form:<20} {speed:9.0f} {size:12.0f} {cost.peak:9.0f} {cost.peak - cost.before:24.1f}", flush=True)


if __name__ == "__main__":
    main()

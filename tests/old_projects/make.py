"""How the projects here were made: run once by a checkout of the version to be kept, and never again.

git worktree add /tmp/old fa1b1b4
cp -r tests/old_projects /tmp/old/tests/
cd /tmp/old && PYTHONPATH=. python -m tests.old_projects.make v1
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import torch

import tam_dist
from tam_dist.coordination.events import ChunkCommitted
from tam_dist.errors import RunInterruptedError
from tests.old_projects.weights import write_weights

FRAMES, HEIGHT, WIDTH = 30, 48, 64
HERE = Path(__file__).parent
SETTINGS = [
    "runtime.threads=1",
    "runtime.device=cpu",
    "tracking.chunk_size=4",
    "tracking.checkpoint_every=2",
    "propagation.mem_every=3",
    "propagation.min_working_frames=2",
    "propagation.max_working_frames=4",
    "propagation.num_prototypes=8",
    "propagation.max_long_term_elements=24",
]


def write_video(folder: Path) -> None:
    """A bright square and a dim one that cross on a shaded ground."""
    folder.mkdir(parents=True)
    ground = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)
    for t in range(FRAMES):
        frame = np.stack([ground, ground // 2, 90 - ground // 2], -1)
        frame[10:26, 2 + t : 18 + t] = 220
        frame[28:40, 44 - t : 56 - t] = (40, 150, 60)
        cv2.imwrite(str(folder / f"{t:05d}.png"), frame)


def main(name: str) -> None:
    shutil.rmtree(HERE / name, ignore_errors=True)
    video, out, whole = HERE / name / "video", HERE / name / "project", Path("/tmp/whole-project")
    shutil.rmtree(whole, ignore_errors=True)
    write_video(video)
    weights = Path("/tmp/old-weights")
    weights.mkdir(exist_ok=True)
    settings = [*write_weights(weights), *SETTINGS]
    cat = np.zeros((HEIGHT, WIDTH), bool)
    cat[10:26, 2:18] = True
    prompts = [
        tam_dist.mask("cat", cat),
        tam_dist.box("dog", 41, 28, 53, 40, frame=3),
        tam_dist.click("cat", 30, 15, frame=21),
        tam_dist.absent("dog", 25, 29),
    ]
    done = tam_dist.track(video, prompts, out=whole, settings=settings)
    stop = threading.Event()

    def stop_early(event: object) -> None:
        if isinstance(event, ChunkCommitted) and event.chunk == 3:
            stop.set()

    with suppress(RunInterruptedError):
        tam_dist.track(video, prompts, out=out, settings=settings, listener=stop_early, stop=stop)
    manifest = json.loads((out / "project.json").read_text())
    manifest["source"]["uri"] = "VIDEO"
    manifest["models"]["xmem"]["name"] = manifest["config"]["models"]["xmem"] = "WEIGHTS/xmem.safetensors"
    manifest["models"]["sam"]["name"] = manifest["config"]["models"]["sam"] = "WEIGHTS/sam.safetensors"
    (out / "project.json").write_text(json.dumps(manifest, indent=2) + "\n")
    (out / ".lock").unlink()
    np.savez_compressed(HERE / name / "expected.npz", labels=done.labels[:], quality=done.quality[:], origin=done.origin[:])
    machine = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
    (HERE / name / "machine.json").write_text(json.dumps(machine) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

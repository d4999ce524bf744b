"""SIGKILL, by real processes: what is on the disk afterwards is whole, and reopening leaves no trace of the killed writer."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from storage.manifest import Manifest
from storage.project_store import ProjectStore

FRAMES, HEIGHT, WIDTH, CHUNK = 90, 120, 160, 8
# Commits all chunks again and again, each round with other masks, and with a state after every other chunk. Every labelled
# pixel of a chunk carries one value, so that a mixture of two versions shows.
WRITER = f"""
import sys
import numpy as np
from storage.project_store import ProjectStore
from tam_dist.types import ChunkResult

rng = np.random.default_rng(int(sys.argv[2]))
sys.stdin.readline()
store = ProjectStore.open(sys.argv[1], write=True)
print("writing", flush=True)
while True:
    for index in range(store.manifest.chunk_count):
        frames = store.manifest.chunk_frames(index)
        value = int(rng.integers(1, 201))
        labels = ((rng.random((len(frames), {HEIGHT}, {WIDTH})) < rng.random()) * value).astype(np.uint8)
        scores = np.full((len(frames), 200), value / 200, np.float32)
        result = ChunkResult(index, frames.start, labels, scores, np.full(scores.shape, 2, np.uint8))
        store.commit(result, rng.bytes(100_000) if index % 2 else None)
"""


class Writer:
    """A process with its imports done, which opens the project and writes when told to."""

    def __init__(self, project: Path, seed: int) -> None:
        command = [sys.executable, "-c", WRITER, str(project), str(seed)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "writing\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def create(project: Path, manifest: Manifest) -> None:
    from tam_dist.types import TrackedObject

    source = replace(manifest.source, frame_count=FRAMES, width=WIDTH, height=HEIGHT)
    objects = tuple(TrackedObject(i + 1, str(i), (0, 0, 0)) for i in range(200))
    film = replace(manifest, source=source, chunk_size=CHUNK, objects=objects)
    ProjectStore.create(project, film, np.arange(FRAMES)).close()


def values(labels: np.ndarray) -> set[int]:
    return set(np.unique(labels).tolist()) - {0}


def test_killed_at_random_moments(tmp_path: Path, manifest: Manifest) -> None:
    project = tmp_path / "project"
    create(project, manifest)
    moments = random.Random(0)
    strays = 0
    writers = [Writer(project, 0)]
    for attempt in range(1, 11):
        writer = writers.pop()
        writer.start()
        time.sleep(moments.uniform(0, 0.25))
        writer.kill()
        writers.append(Writer(project, attempt))  # gets ready during the checks
        strays += len(list(project.rglob("*.partial")))

        with ProjectStore.open(project, write=True) as store:
            recorded = {int(p.stem) for p in (project / "commits").glob("*.json")}
            assert not list(project.rglob("*.partial"))
            for chunk in range(store.manifest.chunk_count):
                frames = store.manifest.chunk_frames(chunk)
                labels = store.labels[frames.start : frames.stop]
                assert len(values(labels)) <= 1, "a mixture of two versions"
                if chunk in store.committed:
                    assert store.is_intact(chunk)
                elif chunk not in recorded:
                    assert not labels.any()
                    assert np.isnan(store.quality[frames.start : frames.stop]).all()
            assert {int(p.name.split(".")[1]) for p in (project / "masks.zarr").rglob("c.*") if "pts" not in str(p)} <= recorded
            assert {int(p.stem) for p in (project / "checkpoints").glob("*")} <= recorded
            found = store.checkpoint(store.manifest.chunk_count)
            assert found is None or len(found[1]) == 100_000
    writers.pop().kill()
    print(f"killed 10 times, {strays} half-written files swept")


def test_a_reader_never_sees_a_mixture(tmp_path: Path, manifest: Manifest) -> None:
    project = tmp_path / "project"
    create(project, manifest)
    reader = ProjectStore.open(project, write=False)
    writer = Writer(project, 7)
    writer.start()
    try:
        seen: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
        deadline = time.monotonic() + 60
        # Enough when each of the first chunks was seen in several versions.
        while time.monotonic() < deadline and not all(len(s) > 2 for s in seen.values()):
            for chunk in reader.committed & seen.keys():
                whole = values(reader.labels[chunk * CHUNK : (chunk + 1) * CHUNK])
                single = values(reader.labels[chunk * CHUNK + 5])
                assert len(whole) <= 1
                assert len(single) <= 1
                seen[chunk].update(whole, single)
            assert reader.status().writer is not None
        assert all(len(s) > 2 for s in seen.values())
    finally:
        writer.kill()

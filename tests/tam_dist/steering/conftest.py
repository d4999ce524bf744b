"""A project that was tracked with one object, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tests.buckets import in_memory
from tests.tiny import square


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory, tiny_video: Path, tiny_settings: tuple[str, ...]) -> Path:
    """44 frames in chunks of 8, with "cat" and "dog"; nobody may change it."""
    out = tmp_path_factory.mktemp("tracked") / "p"
    prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.mask("dog", square(40, 30))]
    tam_dist.track(tiny_video, prompts, out=out, settings=tiny_settings)
    return out


@pytest.fixture(params=["local", "memory"])
def project(request: pytest.FixtureRequest, tracked: Path, tmp_path: Path) -> str:
    """The tracked one, on a disk and in an object store."""
    if request.param == "local":
        shutil.copytree(tracked, tmp_path / "p")
        return str(tmp_path / "p")
    return str(in_memory(tracked))


@pytest.fixture
def store(project: str) -> ProjectStore:
    return ProjectStore.open(project, write=False)


@pytest.fixture
def painted(project: str) -> str:
    """With masks in frames 16..23 that are known: "cat" is a square around 5, 6, "dog" one around 40, 30."""
    from tam_dist.types import ChunkResult

    labels = np.zeros((8, 48, 64), np.uint8)
    labels[:, 2:10, 1:9] = 1
    labels[:, 26:34, 36:44] = 2
    with ProjectStore.open(project, write=True) as writing:
        scores = np.ones((8, 2), np.float32), np.full((8, 2), 2, np.uint8)
        writing.commit(ChunkResult(2, 16, labels, *scores))
    return project


Revise = Callable[[int], None]


@pytest.fixture
def revise(project: str) -> Revise:
    """Track a chunk again, with other masks."""

    def rewrite(chunk: int) -> None:
        from tam_dist.types import ChunkResult

        with ProjectStore.open(project, write=True) as writing:
            frames = writing.manifest.chunk_frames(chunk)
            rows = slice(frames.start, frames.stop)
            labels = np.where(writing.labels[rows] == 1, 0, 1).astype(np.uint8)
            basis = writing.record(chunk)
            assert basis is not None
            writing.commit(ChunkResult(chunk, frames.start, labels, writing.quality[rows], writing.origin[rows], basis.prompts))

    return rewrite

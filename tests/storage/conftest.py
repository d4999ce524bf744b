"""Small projects to store."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from storage.location import Location
from storage.manifest import Manifest, ModelRecord
from tam_dist.config import load_config, to_dict
from tam_dist.types import ChunkResult, TrackedObject, VideoInfo

CHUNK, FRAMES, HEIGHT, WIDTH, OBJECTS = 4, 18, 24, 32, 3  # the last chunk has 2 frames


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    return Manifest(
        source=VideoInfo("film.mp4", FRAMES, WIDTH, HEIGHT, Fraction(30000, 1001), Fraction(1, 30000), 0, "12-34", "pyav"),
        chunk_size=CHUNK,
        objects=tuple(TrackedObject(i + 1, f"object {i + 1}", (i, 2 * i, 255)) for i in range(OBJECTS)),
        models={"xmem": ModelRecord("embedded", "ab" * 32)},
        config=to_dict(load_config(["tracking.checkpoint_every=1"])),
    )


@pytest.fixture(scope="session")
def pts() -> np.ndarray:
    return np.arange(FRAMES, dtype=np.int64) * 1001


@pytest.fixture
def chunk_result() -> Callable[..., ChunkResult]:
    """``chunk_result(index, seed)``: masks that the seed decides."""

    def make(index: int, seed: int = 0, *, objects: int = OBJECTS, prompts: tuple[str, ...] = ()) -> ChunkResult:
        rng = np.random.default_rng([index, seed])
        n = min(CHUNK, FRAMES - index * CHUNK)
        return ChunkResult(
            index=index,
            start=index * CHUNK,
            labels=rng.integers(0, objects + 1, (n, HEIGHT, WIDTH)).astype(np.uint8),
            quality=rng.random((n, objects), np.float32),
            origin=rng.integers(0, 6, (n, objects)).astype(np.uint8),
            prompts=prompts,
        )

    return make


@pytest.fixture(params=["local", "memory"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty place for a project, on a disk and in an object store."""
    return Location.parse(tmp_path / "project" if request.param == "local" else f"memory://{uuid.uuid4().hex}/project")

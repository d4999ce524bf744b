from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from storage.location import Location
from storage.prompt_log import PromptLog
from tam_dist.api import click
from tam_dist.review.app import build_app
from tam_dist.review.jobs import Jobs
from tam_dist.review.opened import Opener
from tam_dist.review.pane import Pane
from tam_dist.review.places import Places
from tam_dist.review.sessions import Sessions
from tests.finished import finished_project, shapes
from tests.tiny import HEIGHT, WIDTH, moving_square, write_frames

FRAMES = 44
NAMES = ("cat", "dog")


def idle_jobs() -> Jobs:
    """Jobs that never find anything due, so that no process starts."""
    return Jobs(due=lambda _: False, driven=lambda _: False)


def make_pane(where: Path, password: str | None = None, videos: tuple[str, ...] = ()) -> Pane:
    places = Places(str(where), videos)
    return Pane(places, Sessions(password, "ann"), idle_jobs(), Opener(places))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one finished project of two objects, "film"."""
    video = write_frames(tmp_path / "videos" / "square", moving_square(FRAMES))
    where = tmp_path / "runs" / "film"
    finished_project(where, video, shapes(FRAMES, HEIGHT, WIDTH, 2), NAMES)
    PromptLog(Location.parse(where)).append([click("cat", 8, 8), click("dog", WIDTH - 2, 20)])
    return where.parent


@pytest.fixture
def pane(runs: Path) -> Iterator[Pane]:
    pane = make_pane(runs)
    yield pane
    pane.close()


@pytest.fixture
def client(pane: Pane) -> Iterator[TestClient]:
    with TestClient(build_app(pane, page=False), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def project(pane: Pane) -> str:
    """The id of "film"."""
    (place,) = pane.places.projects()
    return place.id


def correction(frame: int = 20, revision: int = 1, **mark: Any) -> dict[str, Any]:
    marks = [{"object": "cat", "points": [[8.0, 8.0, 1]], **mark}]
    return {"id": str(uuid.uuid4()), "frame": frame, "revision": revision, "marks": marks}


def labels_in(data: bytes) -> np.ndarray:
    from tam_dist.review import runs

    return runs.decode(data)[0]

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.finished import finished_project, shapes
from tests.tiny import moving_square, write_frames

FRAMES, HEIGHT, WIDTH = 20, 47, 63  # odd, so that rows and columns cannot be mistaken for one another
NAMES = ("cat", "dog: left", "pedestrian-3")


@pytest.fixture(scope="session")
def labels() -> LabelArray:
    return shapes(FRAMES, HEIGHT, WIDTH)


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    return moving_square(FRAMES, height=HEIGHT, width=WIDTH)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, labels: LabelArray, frames: np.ndarray) -> Project:
    folder = tmp_path_factory.mktemp("export")
    return finished_project(folder / "project", write_frames(folder / "clip", frames), labels, NAMES)


Read = Callable[[int, int], np.ndarray]


def assert_same_masks(labels: LabelArray, read: Read, numbers: range | None = None) -> None:
    """``read(frame, id)`` gives bool (H, W), which must be the stored mask, to the pixel, of every object in every frame."""
    for t in range(len(labels)) if numbers is None else numbers:
        for id_ in range(1, int(labels.max()) + 1):
            np.testing.assert_array_equal(read(t, id_), labels[t] == id_, err_msg=f"frame {t}, object {id_}")

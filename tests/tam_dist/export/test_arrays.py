from __future__ import annotations

from pathlib import Path

import numpy as np

from tam_dist.project import Project
from tam_dist.types import LabelArray


def test_arrays_are_mapped_and_hold_the_labels(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("numpy", tmp_path / "all")
    mapped = np.load(tmp_path / "all" / "labels.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, labels)
    project.export("numpy", tmp_path / "some", objects=["pedestrian-3"], frames=(3, 9), every=2)
    np.testing.assert_array_equal(np.load(tmp_path / "some" / "frames.npy"), [3, 5, 7, 9])
    np.testing.assert_array_equal(np.load(tmp_path / "some" / "ids.npy"), [3])
    np.testing.assert_array_equal(np.load(tmp_path / "some" / "labels.npy"), np.where(labels[3:10:2] == 3, 3, 0))
    np.testing.assert_array_equal(np.load(tmp_path / "some" / "quality.npy"), np.full((4, 1), 0.875, np.float32))

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tam_dist.errors import ExportError
from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.finished import finished_project
from tests.tam_dist.export.conftest import FRAMES, NAMES


def test_detections_carry_masks_boxes_and_ids(project: Project, labels: LabelArray, frames: np.ndarray) -> None:
    sv = pytest.importorskip("supervision")
    for t in (0, 7, FRAMES - 1):
        found = project.detections(t)
        assert list(found.tracker_id) == [id_ for id_ in (1, 2, 3) if (labels[t] == id_).any()]
        for box, mask, id_, name in zip(found.xyxy, found.mask, found.tracker_id, found.data["object"], strict=True):
            np.testing.assert_array_equal(mask, labels[t] == id_)
            rows, columns = np.nonzero(mask)
            assert tuple(box) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert name == NAMES[id_ - 1]
        assert set(found.confidence) == {0.875}
    drawn = sv.MaskAnnotator().annotate(frames[7].copy(), project.detections(7))
    assert (drawn != frames[7]).any(axis=2)[labels[7] > 0].mean() > 0.95
    assert list(project.detections(7)["class_name"]) == ["cat", "pedestrian"]


def test_a_frame_without_objects_has_no_detections(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    pytest.importorskip("supervision")
    empty = finished_project(tmp_path / "p", Path(project.video.uri), np.zeros_like(labels), NAMES)
    assert len(empty.detections(3)) == 0


def test_without_supervision_the_extra_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ExportError, match=r"tam-dist\[supervision\]"):
        project.detections(0)


def test_without_openexr_the_extra_is_named(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    monkeypatch.delitem(sys.modules, "tam_dist.export.cryptomatte", raising=False)
    with pytest.raises(ExportError, match=r"OpenEXR.*tam-dist\[exr\]"):
        project.export("cryptomatte", tmp_path / "out")
    assert not list(tmp_path.iterdir())

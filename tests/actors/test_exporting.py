"""A run's exports as tasks of a cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.exporting import on_ray
from tam_dist.export.many import export_run
from tam_dist.export.request import ExportRequest
from tests.finished import finished_project, shapes
from tests.tiny import moving_square, write_frames


def test_projects_are_exported_on_the_cluster(cluster: None, tmp_path: Path) -> None:
    video = write_frames(tmp_path / "clip", moving_square(12))
    labels = shapes(12, 48, 64)
    for name, tracked in (("a", None), ("b", 1)):
        finished_project(tmp_path / "runs" / name, video, labels, ["cat", "dog", "bird"], tracked=tracked)
    request = ExportRequest("numpy")
    done = export_run(str(tmp_path / "runs"), str(tmp_path / "out"), request, on_ray(None), show=lambda _: None)
    assert [r.name for r in done.done] == ["a"]
    assert "--partial" in done.failed[0].reason
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "a" / "labels.npy"), labels)

"""The programs in examples/ run, on a small project."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tam_dist.project import Project
from tests.finished import finished_project, shapes
from tests.tiny import moving_square, write_frames

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("examples")
    video = write_frames(folder / "clip", moving_square(12))
    return finished_project(folder / "p", video, shapes(12, 48, 64), ["cat 1", "cat 2", "dog"], tracked=1)


def run(name: str, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent), "FIFTYONE_DO_NOT_TRACK": "true"}
    ran = subprocess.run([sys.executable, EXAMPLES / name, *words], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_pytorch_dataset_gives_frames_and_masks(project: Project) -> None:
    data = load("pytorch_dataset").TrackedFrames(project.location)
    assert len(data) == 8  # of twelve; the rest is not tracked
    item = data[5]
    assert tuple(item["image"].shape) == (3, 48, 64)
    np.testing.assert_array_equal(item["labels"].numpy(), project.labels[5])
    assert int(item["frame"]) == 5
    out = run("pytorch_dataset.py", project.location)
    assert "8 frames of cat 1, cat 2, dog" in out
    assert out.count("(4, 3, 48, 64)") == 2


def test_samples_for_fiftyone_have_the_masks(project: Project, tmp_path: Path) -> None:
    """Without a dataset around them, which would start FiftyOne's database."""
    pytest.importorskip("fiftyone")
    made = list(load("fiftyone_dataset").samples(project, tmp_path / "images"))
    assert [sample["frame_number"] for sample in made] == list(range(12))
    for sample in made:
        assert Path(sample.filepath).is_file()
        labels = np.zeros((48, 64), np.uint8)
        for found in sample["masks"].detections:
            x, y = round(found.bounding_box[0] * 64), round(found.bounding_box[1] * 48)
            height, width = found.mask.shape
            labels[y : y + height, x : x + width][found.mask.astype(bool)] = found.index
            assert found.label == ("cat", "cat", "dog")[found.index - 1]
        np.testing.assert_array_equal(labels, project.labels[sample["frame_number"]])

"""MOTS and MOT, read back with pycocotools and Pillow; tests/tam_dist/export/test_readers.py has TrackEval and datumaro."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.tam_dist.export.conftest import FRAMES, HEIGHT, WIDTH, assert_same_masks


@pytest.mark.parametrize(("form", "first"), [("mots", 1), ("kitti-mots", 0)])
def test_mots_lines_hold_the_masks(form: str, first: int, project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export(form, tmp_path / "clip.txt")
    found: dict[tuple[int, int], np.ndarray] = {}
    for line in (tmp_path / "clip.txt").read_text().splitlines():
        frame, id_, kind, height, width, rle = line.split(" ")
        assert int(id_) // 1000 == int(kind)
        assert (int(height), int(width)) == (HEIGHT, WIDTH)
        mask = coco.decode({"size": [int(height), int(width)], "counts": rle.encode()}).astype(bool)
        found[int(frame) - first, int(id_) % 1000] = mask
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    assert_same_masks(labels, lambda t, id_: found.pop((t, id_), nothing))
    assert not found
    assert (tmp_path / "clip.txt.export.json").exists()


def test_mots_pngs_hold_class_and_id(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("mots-png", tmp_path / "out")
    classes = (tmp_path / "out" / "instances" / "labels.txt").read_text().split("\n")

    def read(t: int, id_: int) -> np.ndarray:
        with Image.open(tmp_path / "out" / "instances" / f"{t:06d}.png") as image:
            values = np.asarray(image)
        assert values.dtype == np.uint16
        return values % 1000 == id_

    assert_same_masks(labels, read)
    with Image.open(tmp_path / "out" / "instances" / "000005.png") as image:
        names = {classes[value // 1000 - 1] for value in np.unique(np.asarray(image)) if value}
    assert names == {"cat", "dog: left", "pedestrian"}


def test_mot_boxes_count_from_one(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("mot", tmp_path / "out")
    names = (tmp_path / "out" / "gt" / "labels.txt").read_text().splitlines()
    found = set()
    with (tmp_path / "out" / "gt" / "gt.txt").open() as file:
        for row in csv.reader(file):
            frame, id_, left, top, width, height, valid, kind, visible = map(int, row)
            mask = labels[frame - 1] == id_
            rows, columns = np.nonzero(mask)
            assert (left, top) == (columns.min() + 1, rows.min() + 1)
            assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
            assert valid == visible == 1
            assert names[kind - 1] == ("cat", "dog: left", "pedestrian")[id_ - 1]
            found.add((frame - 1, id_))
    assert found == {(t, id_) for t in range(FRAMES) for id_ in (1, 2, 3) if (labels[t] == id_).any()}
    assert f"seqLength={FRAMES}" in (tmp_path / "out" / "seqinfo.ini").read_text()

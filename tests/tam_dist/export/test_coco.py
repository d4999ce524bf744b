"""COCO and YouTube-VIS, read back by pycocotools and supervision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from tam_dist.export.rle import coco_mask
from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.tam_dist.export.conftest import FRAMES, HEIGHT, WIDTH, assert_same_masks


def test_pycocotools_reads_every_mask_back(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("coco", tmp_path / "out")
    data = COCO(tmp_path / "out" / "annotations.json")
    assert [data.cats[i]["name"] for i in sorted(data.cats)] == ["cat", "dog: left", "pedestrian"]
    by_frame = {image["frame_index"]: image["id"] for image in data.dataset["images"]}
    assert sorted(by_frame) == list(range(FRAMES))

    def read(t: int, id_: int) -> np.ndarray:
        found = [a for a in data.imgToAnns[by_frame[t]] if a["track_id"] == id_]
        if not found:
            return np.zeros((HEIGHT, WIDTH), bool)
        (annotation,) = found
        mask = data.annToMask(annotation).astype(bool)
        rows, columns = np.nonzero(mask)
        x, y, w, h = annotation["bbox"]
        assert (x, y, x + w - 1, y + h - 1) == (columns.min(), rows.min(), columns.max(), rows.max())
        assert annotation["area"] == mask.sum()
        assert annotation["score"] == 0.875
        return mask

    assert_same_masks(labels, read)


def test_supervision_reads_the_masks_and_images(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    sv = pytest.importorskip("supervision")
    project.export("coco", tmp_path / "out", images=True)
    data = sv.DetectionDataset.from_coco(
        str(tmp_path / "out" / "images"), str(tmp_path / "out" / "annotations.json"), force_masks=True
    )
    assert len(data) == FRAMES
    for path, _, detections in data:
        t = int(Path(path).stem)
        np.testing.assert_array_equal(np.any(detections.mask, axis=0), labels[t] > 0)


def test_a_track_of_ytvis_has_an_entry_a_frame(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("ytvis", tmp_path / "out", images=True)
    data = json.loads((tmp_path / "out" / "instances.json").read_text())
    (video,) = data["videos"]
    assert video["length"] == FRAMES
    assert all((tmp_path / "out" / "JPEGImages" / name).is_file() for name in video["file_names"])
    tracks = {a["id"]: a for a in data["annotations"]}
    assert all(len(a[key]) == FRAMES for a in tracks.values() for key in ("segmentations", "bboxes", "areas"))

    def read(t: int, id_: int) -> np.ndarray:
        rle = tracks[id_]["segmentations"][t]
        assert (rle is None) == (tracks[id_]["bboxes"][t] is None) == (tracks[id_]["areas"][t] is None)
        return np.zeros((HEIGHT, WIDTH), bool) if rle is None else coco_mask(rle)

    assert_same_masks(labels, read)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    for track, predicted in zip(data["annotations"], results, strict=True):
        assert predicted["category_id"] == track["category_id"]
        for ours, theirs in zip(predicted["segmentations"], track["segmentations"], strict=True):
            assert (ours is None) == (theirs is None)
            assert ours is None or (coco_mask(ours) == coco_mask(theirs)).all()


def test_ytvis_of_chosen_frames_counts_from_its_first(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("ytvis", tmp_path / "out", objects=["cat"], frames=(4, 10), every=3)
    data = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert data["videos"][0]["file_names"] == ["clip/00004.jpg", "clip/00007.jpg", "clip/00010.jpg"]
    (track,) = data["annotations"]
    for place, t in enumerate((4, 7, 10)):
        np.testing.assert_array_equal(coco_mask(track["segmentations"][place]), labels[t] == 1)

"""The formats of labelling tools, checked field by field; tests/tam_dist/export/test_readers.py reads them with the tools."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_fill_holes

from tam_dist.export.rle import coco_mask, from_row_counts
from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.tam_dist.export.conftest import FRAMES, HEIGHT, NAMES, WIDTH, assert_same_masks


def cvat_mask(element: ElementTree.Element) -> np.ndarray:
    left, top, width, height = (int(element.attrib[key]) for key in ("left", "top", "width", "height"))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    counts = [int(n) for n in element.attrib["rle"].split(", ")]
    mask[top : top + height, left : left + width] = from_row_counts(counts, height, width)
    return mask


def test_cvat_keeps_every_mask_as_a_track_that_ends_in_the_next_frame(
    project: Project, labels: LabelArray, tmp_path: Path
) -> None:
    project.export("cvat", tmp_path / "masks.xml")
    root = ElementTree.parse(tmp_path / "masks.xml").getroot()
    assert [label.findtext("name") for label in root.iter("label")] == list(NAMES)
    assert root.findtext("meta/task/size") == str(FRAMES)
    found: dict[tuple[int, int], np.ndarray] = {}
    for track in root.iter("track"):
        shapes = list(track)
        t = int(shapes[0].attrib["frame"])
        assert [shape.attrib["outside"] for shape in shapes] == ["0", "1"][: len(shapes)]
        assert len(shapes) == 1 + (t + 1 < FRAMES)
        found[t, NAMES.index(track.attrib["label"]) + 1] = cvat_mask(shapes[0])
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    assert_same_masks(labels, lambda t, id_: found.pop((t, id_), nothing))
    assert not found


def test_cvat_boxes_end_where_the_object_is_gone(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("cvat-boxes", tmp_path / "boxes.xml", frames=(0, 15))
    root = ElementTree.parse(tmp_path / "boxes.xml").getroot()
    for id_, track in enumerate(root.iter("track"), 1):
        shown: dict[int, bool] = {}
        for box in track.iter("box"):
            t = int(box.attrib["frame"])
            shown[t] = box.attrib["outside"] == "0"
            if shown[t]:
                rows, columns = np.nonzero(labels[t] == id_)
                corners = [float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")]
                assert corners == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        state = False
        for t in range(FRAMES):
            state = shown.get(t, state)
            assert state == (t <= 15 and bool((labels[t] == id_).any())), (t, id_)


def test_label_studio_boxes_are_percent_from_frame_one_and_interrupted(
    project: Project, labels: LabelArray, tmp_path: Path
) -> None:
    project.export("label-studio-boxes", tmp_path / "out")
    (task,) = json.loads((tmp_path / "out" / "tasks.json").read_text())
    regions = task["predictions"][0]["result"]
    assert [region["value"]["labels"] for region in regions] == [[name] for name in NAMES]
    for id_, region in enumerate(regions, 1):
        assert region["value"]["framesCount"] == FRAMES
        boxes = {box["frame"] - 1: box for box in region["value"]["sequence"]}
        assert set(boxes) == {t for t in range(FRAMES) if (labels[t] == id_).any()}
        for t, box in boxes.items():
            rows, columns = np.nonzero(labels[t] == id_)
            assert box["x"] * WIDTH / 100 == columns.min()
            assert np.isclose((box["y"] + box["height"]) * HEIGHT / 100, rows.max() + 1)
            assert box["enabled"] == (t + 1 in boxes)
            assert np.isclose(box["time"], t / 24)


def test_sa_v_has_an_rle_for_each_object_in_each_frame(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("sa-v", tmp_path / "clip_manual.json")
    data = json.loads((tmp_path / "clip_manual.json").read_text())
    assert (len(data["masklet"]), data["masklet_num"], data["video_frame_count"]) == (FRAMES, 3, FRAMES)
    assert_same_masks(labels, lambda t, id_: coco_mask(data["masklet"][t][id_ - 1]))
    assert data["masklet_first_appeared_frame"] == [0, 0, 2]
    assert data["masklet_visibility_changes"] == [0, 2, 0]
    areas = [[(frame == id_).sum() for frame in labels if (frame == id_).any()] for id_ in (1, 2, 3)]
    np.testing.assert_allclose(data["masklet_size_abs"], [np.mean(a) for a in areas])
    project.export("sa-v", tmp_path / "sparse_manual.json", every=4)
    sparse = json.loads((tmp_path / "sparse_manual.json").read_text())
    assert_same_masks(labels, lambda t, id_: coco_mask(sparse["masklet"][t // 4][id_ - 1]), range(0, FRAMES, 4))


def test_polygons_give_back_all_but_holes(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    """Drawn as LabelMe draws them, filled with their rim, parts come back to the pixel and holes are filled."""
    project.export("labelme", tmp_path / "out", images=True)
    for t in range(FRAMES):
        data = json.loads((tmp_path / "out" / f"{t:05d}.json").read_text())
        assert (data["imageHeight"], data["imageWidth"]) == (HEIGHT, WIDTH)
        assert (tmp_path / "out" / data["imagePath"]).is_file()
        for id_, name in enumerate(NAMES, 1):
            picture = Image.new("1", (WIDTH, HEIGHT))
            for shape in data["shapes"]:
                if shape["group_id"] == id_:
                    assert shape["label"] == name
                    ImageDraw.Draw(picture).polygon([tuple(p) for p in shape["points"]], outline=1, fill=1)
            mask = labels[t] == id_
            assert id_ != 1 or (np.asarray(picture) != mask).any()
            np.testing.assert_array_equal(np.asarray(picture), binary_fill_holes(mask))

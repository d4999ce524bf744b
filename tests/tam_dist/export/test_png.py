"""Read back with Pillow, the evaluation of DAVIS that we have, and pycocotools' own decoder where runs are concerned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tam_dist.evaluation.davis import find_sequences
from tam_dist.media.colours import palette
from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.finished import finished_project
from tests.tam_dist.export.conftest import FRAMES, HEIGHT, WIDTH, assert_same_masks


def test_davis_pngs_have_the_ids_as_values_and_the_davis_palette(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("davis", tmp_path / "out", images=True)
    folder = tmp_path / "out" / "Annotations" / "Full-Resolution" / "clip"
    assert [p.name for p in sorted(folder.iterdir())] == [f"{t:05d}.png" for t in range(FRAMES)]
    for t in range(FRAMES):
        with Image.open(folder / f"{t:05d}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), labels[t])
            colours = np.asarray(image.getpalette()).reshape(-1, 3)
            np.testing.assert_array_equal(colours, palette()[: len(colours)])
    with Image.open(tmp_path / "out" / "JPEGImages" / "Full-Resolution" / "clip" / "00007.jpg") as image:
        assert image.size == (WIDTH, HEIGHT)


def test_a_davis_export_is_a_davis_data_set(project: Project, tmp_path: Path, labels: LabelArray) -> None:
    project.export("davis", tmp_path / "out", images=True)
    folder = tmp_path / "out"
    (folder / "JPEGImages" / "Full-Resolution").rename(folder / "JPEGImages" / "480p")
    (folder / "Annotations" / "Full-Resolution").rename(folder / "Annotations" / "480p")
    (sequence,) = find_sequences(folder, 2017)
    assert sequence.name == "clip"
    np.testing.assert_array_equal(sequence.labels(9), labels[9])


def test_youtube_vos_keeps_the_frame_numbers_and_lists_frames_from_the_first_appearance(
    project: Project, labels: LabelArray, tmp_path: Path
) -> None:
    project.export("youtube-vos", tmp_path / "out", every=5)
    folder = tmp_path / "out" / "Annotations" / "clip"
    assert [p.name for p in sorted(folder.iterdir())] == ["00000.png", "00005.png", "00010.png", "00015.png"]
    with Image.open(folder / "00010.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels[10])
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())["videos"]["clip"]["objects"]
    assert meta["1"] == {"category": "cat", "frames": ["00000", "00005", "00010", "00015"]}
    assert meta["3"] == {"category": "pedestrian", "frames": ["00005", "00010", "00015"]}


def test_binary_pngs_are_black_and_white(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("binary-png", tmp_path / "out")
    folders = {1: "1-cat", 2: "2-dog_ left", 3: "3-pedestrian-3"}

    def read(t: int, id_: int) -> np.ndarray:
        with Image.open(tmp_path / "out" / folders[id_] / f"{t:05d}.png") as image:
            values = np.asarray(image)
        assert set(np.unique(values)) <= {0, 255}
        return values == 255

    assert_same_masks(labels, read)


def test_chosen_objects_and_frames_alone_are_written(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("davis", tmp_path / "out", objects=["pedestrian-3"], frames=(6, 9))
    folder = tmp_path / "out" / "Annotations" / "Full-Resolution" / "clip"
    assert [p.name for p in sorted(folder.iterdir())] == ["00006.png", "00007.png", "00008.png", "00009.png"]
    with Image.open(folder / "00006.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.where(labels[6] == 3, 3, 0))


def test_names_sort_as_numbers_do_in_a_long_video(tmp_path: Path) -> None:
    from dataclasses import replace

    from tam_dist.export.footage import Footage
    from tam_dist.export.request import ExportRequest
    from tests.finished import CHUNK

    info = finished_project(tmp_path / "short", _image(tmp_path), np.ones((1, 8, 8), np.uint8), ["a"]).video
    long = replace(info, frame_count=120_000)
    from tests.finished import store_chunks

    project = store_chunks(tmp_path / "long", long, np.arange(120_000), [np.ones((CHUNK, 8, 8), np.uint8)], ["a"])
    footage = Footage(project, ExportRequest("davis", frames=(0, 7)))
    assert footage.stem(7) == "000007"


def _image(folder: Path) -> Path:
    (folder / "one").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "one" / "0.png")
    return folder / "one"

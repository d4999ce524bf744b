"""Data sets of every format come out as instances, from folders and from git repositories without a work tree."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tam_dist.training.components import follow_components
from tam_dist.training.layers import IGNORE
from tam_dist.training.packed import LabelledPicture, PackedPictures, PictureGroup, TrainingDataError, pack
from tam_dist.training.prepare import main
from tam_dist.training.readers import coco_stills, compacted, foreground_sequences, mask_sequences, via_stills, yolo_stills
from tam_dist.training.sources import SOURCES, refuse_evaluation_data
from tam_dist.training.trees import FolderTree, GitTree, open_tree
from tests.tam_dist.training.pictures import disc_picture

SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
INNER = [15, 15, 20, 15, 20, 20, 15, 20]


class Files:
    """A tree in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def names(self) -> list[str]:
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        return self._files[name]


def encoded(array: np.ndarray, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def photo(height: int = 40, width: int = 60) -> bytes:
    return encoded(np.full((height, width, 3), 90, np.uint8), "jpeg")


def only(groups: Iterator[PictureGroup]) -> LabelledPicture:
    (group,) = groups
    (item,) = group.pictures
    return item


def test_coco_polygons_become_instances_and_what_is_inside_stays_visible() -> None:
    annotations = [
        {"image_id": 1, "category_id": 3, "segmentation": [INNER], "bbox": [15, 15, 5, 5]},
        {"image_id": 1, "category_id": 4, "segmentation": [SQUARE], "bbox": [10, 10, 20, 20]},
        {"image_id": 1, "category_id": 4, "segmentation": {"counts": "x"}, "iscrowd": 1, "bbox": [40, 0, 10, 10]},
    ]
    data = {
        "images": [{"id": 1, "file_name": "x.jpg"}, {"id": 2, "file_name": "missing.jpg"}],
        "categories": [{"id": 3, "name": "button"}, {"id": 4, "name": "coat"}],
        "annotations": annotations,
    }
    item = only(coco_stills(Files({"a.json": json.dumps(data).encode(), "train/x.jpg": photo()}), "a.json", ["train"]))
    assert item.kinds == ("coat", "button")
    labels = item.picture.labels
    assert (labels[12, 12], labels[17, 17], labels[0, 0], labels[5, 45]) == (1, 2, 0, IGNORE)


def test_via_and_yolo_polygons_become_instances() -> None:
    region = {"shape_attributes": {"all_points_x": SQUARE[::2], "all_points_y": SQUARE[1::2]}}
    via = {"x.jpg123": {"filename": "x.jpg", "regions": {"0": region}}}
    item = only(via_stills(Files({"d/via.json": json.dumps(via).encode(), "d/x.jpg": photo()}), "d/via.json", "d", "pig"))
    assert item.kinds == ("pig",)
    assert item.picture.labels[20, 20] == 1
    line = b"0 0.2 0.2 0.8 0.2 0.8 0.8 0.2 0.8\n"
    files = {}
    for version in "ab":  # the same photo twice
        files |= {f"t/labels/x_jpg.rf.{version}.txt": line, f"t/images/x_jpg.rf.{version}.jpg": photo()}
    assert only(yolo_stills(Files(files), "cat")).picture.labels[20, 30] == 1


def test_grey_levels_become_the_same_labels_all_along() -> None:
    first, second = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    first[:10], second[:10], second[20:] = 254, 254, 120
    tree = Files({"1.jpg": photo(), "2.jpg": photo(), "1.pgm": encoded(first), "2.pgm": encoded(second)})
    (group,) = compacted(mask_sequences(tree, {"s": [("1.jpg", "1.pgm"), ("2.jpg", "2.pgm")]}))
    one, two = (item.picture.labels for item in group.pictures)
    assert set(np.unique(one)) == {0, 2}
    assert (two[0, 0], two[30, 0]) == (2, 1)


def moving_squares(*places: tuple[int, ...], size: int = 12, width: int = 80) -> list[np.ndarray]:
    frames = []
    for columns in places:
        frame = np.zeros((40, width), np.uint8)
        for column in columns:
            frame[14 : 14 + size, column : column + size] = 1
        frames.append(frame)
    return frames


def test_pieces_keep_their_number_while_they_move() -> None:
    maps = follow_components(moving_squares((5, 50), (8, 47), (11, 44)), most=9)
    left, right = maps[0][20, 8], maps[0][20, 53]
    assert {left, right} == {1, 2}
    assert (maps[2][20, 14], maps[2][20, 47]) == (left, right)


def test_who_came_out_of_a_merger_is_not_guessed() -> None:
    maps = follow_components(moving_squares((10, 40), (20, 31), (10, 41)), most=9)
    assert set(np.unique(maps[1])) == {0, IGNORE}
    assert not {1, 2} & set(np.unique(maps[2]))


def test_specks_are_not_known() -> None:
    maps = follow_components(moving_squares((5,), size=1), most=9)
    assert set(np.unique(maps[0])) == {0, IGNORE}


def test_foreground_sequences_leave_out_frames_before_anything_moves() -> None:
    masks = [np.zeros((40, 80), np.uint8), *moving_squares((5,), (8,))]
    tree = Files({f"{t}.png": encoded(255 * m) for t, m in enumerate(masks)} | {f"{t}.jpg": photo(40, 80) for t in range(3)})
    pairs = {"s": [(f"{t}.jpg", f"{t}.png") for t in range(3)]}
    (group,) = foreground_sequences(tree, pairs, {255: 1})
    assert [int(item.picture.labels.max()) for item in group.pictures] == [1, 1]


def test_packed_pictures_are_what_was_packed_reduced_to_the_short_side(tmp_path: Path) -> None:
    small, large = disc_picture(0, 2), disc_picture(1, 1, 200, 300)
    groups = [
        PictureGroup("a", [LabelledPicture(small, ("x", "y"))]),
        PictureGroup("none", []),
        PictureGroup("b", [LabelledPicture(large, ("",))] * 2),
    ]
    pack(groups, tmp_path / "p", short_side=100)
    packed = PackedPictures(tmp_path / "p")
    assert (packed.names, len(packed), list(packed.group("b"))) == (["a", "b"], 3, [1, 2])
    assert np.array_equal(packed[0].image, small.image)
    assert np.array_equal(packed[0].labels, small.labels)
    assert packed.kinds[0] == ("x", "y")
    assert packed[2].labels.shape == (100, 150)
    assert set(np.unique(packed[2].labels)) == {0, 1}


def test_nothing_to_pack_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="nothing to pack"):
        pack([], tmp_path / "out", short_side=100)
    with pytest.raises(TrainingDataError, match="no packed pictures"):
        PackedPictures(tmp_path / "out")


def test_evaluation_sequences_are_refused() -> None:
    with pytest.raises(TrainingDataError, match="camel is an evaluation sequence"):
        list(refuse_evaluation_data(iter([PictureGroup("x/camel", [])])))
    assert len(list(refuse_evaluation_data(iter([PictureGroup("x/camels", [])])))) == 1


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A bare repository with ``d/a.txt``, like the snapshots that data comes in."""
    work, bare = tmp_path / "work", tmp_path / "bare"
    (work / "d").mkdir(parents=True)
    (work / "d" / "a.txt").write_bytes(b"one\ntwo")
    (work / "b \u00e9.txt").write_bytes(b"")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-C", str(work), *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    return bare


def test_a_repository_is_read_without_a_work_tree(repository: Path) -> None:
    tree = open_tree(repository)
    assert isinstance(tree, GitTree)
    assert tree.names() == ["b \u00e9.txt", "d/a.txt"]
    assert [tree.read(name) for name in (*tree.names(), "d/a.txt")] == [b"", b"one\ntwo", b"one\ntwo"]
    with pytest.raises(TrainingDataError, match=r"no file d/none\.txt"):
        tree.read("d/none.txt")
    tree.close()


def test_a_folder_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_bytes(b"x")
    tree = open_tree(tmp_path)
    assert isinstance(tree, FolderTree)
    assert tree.names() == ["d/a.txt"]
    assert tree.read("d/a.txt") == b"x"
    with pytest.raises(TrainingDataError, match="no folder"):
        open_tree(tmp_path / "none")


def test_prepare_packs_what_is_there_and_names_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sequence in ("a", "b"):
        picture = disc_picture(0)
        for kind, array in (("JPEGImages", picture.image), ("Annotations", picture.labels)):
            folder = tmp_path / "data" / "davis2016_train" / kind / sequence
            folder.mkdir(parents=True)
            Image.fromarray(array).save(folder / ("00000.jpg" if kind == "JPEGImages" else "00000.png"))
    arguments = ["--cache", str(tmp_path / "cache"), "--data", str(tmp_path / "data"), "--repositories", str(tmp_path)]
    assert main([*arguments, "davis", "people"]) == 0
    said = capsys.readouterr().err
    assert "davis: 2 pictures in 2 groups" in said
    assert "people: gmguarino/PennFudan is not there" in said
    about = json.loads((tmp_path / "cache" / "davis" / "about.json").read_text())
    assert about["terms"] == "CC BY-NC 4.0"
    assert main([*arguments, "davis"]) == 0
    assert "davis" not in capsys.readouterr().err  # packed already
    assert main([*arguments, "nonsense"]) == 2
    assert "no training source nonsense" in capsys.readouterr().err


def test_source_names_are_unique_and_their_terms_stated() -> None:
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    assert all(source.terms for source in SOURCES)

"""Exports read back by the tools that people use them with. ``tests/readers.txt`` says how to install them; a test is skipped
where its tool is not there. Formats are also checked without them, in the other modules of this folder.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.finished import finished_project, shapes
from tests.tam_dist.export.conftest import FRAMES, HEIGHT, NAMES, WIDTH, assert_same_masks
from tests.tiny import moving_square, write_frames

NOTHING = np.zeros((HEIGHT, WIDTH), bool)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Objects of the class that MOTSChallenge evaluates."""
    folder = tmp_path_factory.mktemp("people")
    video = write_frames(folder / "clip", moving_square(FRAMES, height=HEIGHT, width=WIDTH))
    return finished_project(folder / "p", video, shapes(FRAMES, HEIGHT, WIDTH), [f"pedestrian-{i}" for i in (1, 2, 3)])


# --- TrackEval ---------------------------------------------------------------------------------------------------------


def evaluated(kind: str, truth: Path | str, tracked: Path | str, settings: dict[str, Any]) -> Any:
    """The dataset class ``kind`` of TrackEval over the clip, against itself; returns what HOTA says of it."""
    trackeval = pytest.importorskip("trackeval")
    common = {"PRINT_CONFIG": False, "GT_FOLDER": str(truth), "TRACKERS_FOLDER": str(tracked), "TRACKERS_TO_EVAL": ["ours"]}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = getattr(trackeval.datasets, kind)({**common, **settings})
        sequence = data.seq_list[0]
        raw = data.get_raw_seq_data("ours", sequence)
        cls = data.class_list[0]
        prepared = data.get_preprocessed_seq_data(raw, cls)
        return trackeval.metrics.HOTA({"PRINT_CONFIG": False}).eval_sequence(prepared), prepared


@pytest.mark.parametrize(("kind", "form"), [("MOTSChallenge", "mots"), ("KittiMOTS", "kitti-mots")])
def test_trackeval_finds_mots_exports_the_same_as_themselves(kind: str, form: str, people: Project, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"CLASSES_TO_EVAL": ["pedestrian"], "SEQ_INFO": {"clip": FRAMES}}
    if kind == "MOTSChallenge":
        settings |= {"SKIP_SPLIT_FOL": True, "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt"}
        people.export(form, tmp_path / "truth" / "clip.txt")
    else:
        (tmp_path / "truth").mkdir()
        people.export(form, tmp_path / "truth" / "label_02" / "clip.txt")
        (tmp_path / "truth" / "evaluate_mots.seqmap.val").write_text(f"clip empty 000000 {FRAMES:06d}\n")
        settings |= {"SPLIT_TO_EVAL": "val"}
    people.export(form, tmp_path / "tracked" / "ours" / "data" / "clip.txt")
    hota, prepared = evaluated(kind, tmp_path / "truth", tmp_path / "tracked", settings)
    assert prepared["num_gt_dets"] == sum(len(np.unique(people.labels[t])) - 1 for t in range(FRAMES))
    np.testing.assert_allclose(hota["HOTA"], 1)
    np.testing.assert_allclose(hota["LocA"], 1)


def test_trackeval_finds_mot_boxes_the_same_as_themselves(people: Project, tmp_path: Path) -> None:
    people.export("mot", tmp_path / "truth" / "clip")
    (tmp_path / "tracked" / "ours" / "data").mkdir(parents=True)
    text = (tmp_path / "truth" / "clip" / "gt" / "gt.txt").read_text()
    (tmp_path / "tracked" / "ours" / "data" / "clip.txt").write_text(text)
    settings = {"SKIP_SPLIT_FOL": True, "SEQ_INFO": {"clip": None}, "DO_PREPROC": False, "CLASSES_TO_EVAL": ["pedestrian"]}
    hota, prepared = evaluated("MotChallenge2DBox", tmp_path / "truth", tmp_path / "tracked", settings)
    assert prepared["num_timesteps"] == FRAMES
    np.testing.assert_allclose(hota["HOTA"], 1)


def test_trackeval_finds_davis_exports_the_same_as_themselves(people: Project, tmp_path: Path) -> None:
    people.export("davis", tmp_path / "davis")
    masks = tmp_path / "davis" / "Annotations" / "Full-Resolution"
    ours = tmp_path / "tracked" / "ours" / "data"
    ours.parent.mkdir(parents=True)
    ours.symlink_to(masks)
    settings = {"SEQMAP_FILE": str(tmp_path / "davis" / "ImageSets" / "2017" / "val.txt"), "SPLIT_TO_EVAL": "val"}
    hota, _ = evaluated("DAVIS", masks, tmp_path / "tracked", settings)
    np.testing.assert_allclose(hota["HOTA"], 1)


def test_trackeval_finds_ytvis_results_the_same_as_its_truth(people: Project, tmp_path: Path) -> None:
    truth = tmp_path / "truth" / "youtube_vis_val"
    people.export("ytvis", truth)
    results = tmp_path / "tracks" / "youtube_vis_val" / "ours" / "data" / "results.json"
    results.parent.mkdir(parents=True)
    (truth / "results.json").rename(results)
    (truth / "export.json").unlink()  # it takes the only JSON of a folder
    hota, _ = evaluated("YouTubeVIS", f"{tmp_path}/truth/", f"{tmp_path}/tracks/", {"SPLIT_TO_EVAL": "val"})
    np.testing.assert_allclose(hota["HOTA"], 1)


# --- datumaro ----------------------------------------------------------------------------------------------------------


def test_datumaro_reads_mots_pngs(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    project.export("mots-png", tmp_path / "out")
    data = datumaro.Dataset.import_from(str(tmp_path / "out"), "mots")
    names = [label.name for label in data.categories()[datumaro.AnnotationType.label]]
    found = {}
    for item in data:
        for mask in item.annotations:
            found[int(item.id), int(mask.attributes["track_id"])] = mask.image.astype(bool)
            assert names[mask.label] == ("cat", "dog: left", "pedestrian")[int(mask.attributes["track_id"]) - 1]
    assert_same_masks(labels, lambda t, id_: found.get((t, id_), NOTHING))


def test_datumaro_reads_cvat_images(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    project.export("cvat-images", tmp_path / "out" / "annotations.xml")
    (tmp_path / "out" / "annotations.xml.export.json").unlink()
    images = tmp_path / "out" / "images"
    images.mkdir()
    for t in range(FRAMES):
        (images / f"frame_{t:06d}.png").write_bytes((Path(project.video.uri) / f"{t:05d}.png").read_bytes())
    data = datumaro.Dataset.import_from(str(tmp_path / "out"), "cvat")
    found = {
        (int(item.attributes["frame"]), mask.label + 1): mask.image.astype(bool) for item in data for mask in item.annotations
    }
    assert_same_masks(labels, lambda t, id_: found.get((t, id_), NOTHING))


def test_datumaro_reads_coco_and_boxes_of_cvat(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    project.export("cvat-boxes", tmp_path / "out" / "annotations.xml")
    (tmp_path / "out" / "annotations.xml.export.json").unlink()
    data = datumaro.Dataset.import_from(str(tmp_path / "out"), "cvat")
    for item in data:
        for box in item.annotations:
            if not box.attributes["outside"]:
                rows, columns = np.nonzero(labels[int(item.attributes["frame"])] == box.label + 1)
                assert (box.x, box.y) == (columns.min(), rows.min())
                assert (box.w, box.h) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


# --- Label Studio, VOT, Cryptomatte ------------------------------------------------------------------------------------


def test_label_studios_own_decoder_reads_its_brushes(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    project.export("label-studio", tmp_path / "out", images=True)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert len(tasks) == FRAMES
    found = {}
    for task in tasks:
        assert (tmp_path / "out" / task["data"]["image"]).is_file()
        for result in task["predictions"][0]["result"]:
            rgba = brush.decode_rle(result["value"]["rle"]).reshape(HEIGHT, WIDTH, 4)
            assert (rgba == rgba[:, :, 3:]).all()
            assert set(np.unique(rgba)) <= {0, 255}
            found[task["data"]["frame"], NAMES.index(result["value"]["brushlabels"][0]) + 1] = rgba[:, :, 3] == 255
    assert_same_masks(labels, lambda t, id_: found.get((t, id_), NOTHING))


def test_a_brush_of_one_value_is_what_the_other_encoder_makes_of_it() -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    from tam_dist.export.label_studio import brush_rle

    for mask in (np.ones((300, 400), bool), np.zeros((1, 1), bool), np.eye(9, dtype=bool)):
        decoded = brush.decode_rle(brush_rle(mask)).reshape(*mask.shape, 4)
        np.testing.assert_array_equal(decoded[:, :, 3] == 255, mask)


def test_the_vot_toolkit_reads_its_masks(
    project: Project, labels: LabelArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        import numba  # noqa: F401
    except ImportError:  # it only makes the toolkit faster
        stub: Any = types.ModuleType("numba")
        stub.njit = lambda *a, **_: a[0] if a and callable(a[0]) else lambda f: f
        monkeypatch.setitem(sys.modules, "numba", stub)
    parse = pytest.importorskip("vot.region.io").parse_region
    project.export("vot", tmp_path / "out", images=True)
    assert len(list((tmp_path / "out" / "color").iterdir())) == FRAMES
    assert "channels.color=color/%08d.jpg" in (tmp_path / "out" / "sequence").read_text()
    files = {id_: tmp_path / "out" / f"groundtruth_{id_}-{name.replace(':', '_')}.txt" for id_, name in enumerate(NAMES, 1)}
    for id_, file in files.items():
        lines = file.read_text().splitlines()
        assert len(lines) == FRAMES
        for t, line in enumerate(lines):
            region = parse(line)
            mask = np.zeros((HEIGHT, WIDTH), bool)
            x, y = region.offset
            part = region.mask.astype(bool)
            if line != "m0,0,0,0,0":
                mask[y : y + part.shape[0], x : x + part.shape[1]] = part
            np.testing.assert_array_equal(mask, labels[t] == id_)


def test_cryptomattes_are_found_by_the_names_of_objects(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    from tam_dist.export.cryptomatte import name_hash

    project.export("cryptomatte", tmp_path / "out")
    for t in range(FRAMES):
        with exr.File(str(tmp_path / "out" / f"{t:05d}.exr"), separate_channels=True) as file:
            header, channels = dict(file.header()), {name: np.array(c.pixels) for name, c in file.channels().items()}
        (manifest,) = (json.loads(value) for key, value in header.items() if key.endswith("/manifest"))
        for id_, name in enumerate(NAMES, 1):
            assert manifest[name] == f"{name_hash(name):08x}"
            wanted = np.uint32(int(manifest[name], 16)).view(np.float32)
            mask = (channels["tam_dist00.R"] == wanted) & (channels["tam_dist00.G"] == 1)
            np.testing.assert_array_equal(mask, labels[t] == id_)


def test_another_reader_of_cryptomattes_decodes_the_same(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR")
    reader = pytest.importorskip("cryptomatte_api")
    project.export("cryptomatte", tmp_path / "out")
    for t in range(FRAMES):
        (layer,) = reader.Cryptomatte.load(str(tmp_path / "out" / f"{t:05d}.exr"))
        masks = layer.masks()
        for id_, name in enumerate(NAMES, 1):
            np.testing.assert_array_equal(masks.get(name, NOTHING) == 1, labels[t] == id_)

"""What was exported comes back as it was; what is wrong is one sentence that names it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tam_dist.config import load_config
from tam_dist.errors import ExportError, MaskFileError, ProjectExistsError
from tam_dist.importing.run import Imported, import_masks, import_prompts
from tam_dist.preparation import settle
from tam_dist.project import Project
from tam_dist.prompt_files import read_prompt_file
from tam_dist.types import Box, LabelArray, Mask, Origin
from tests.finished import finished_project, shapes
from tests.tiny import moving_square, write_frames

FRAMES, HEIGHT, WIDTH = 20, 47, 63
NAMES = ("cat", "dog: left", "pedestrian-3")
SUFFIXES = {"mots": ".txt", "kitti-mots": ".txt", "cvat": ".xml", "cvat-images": ".xml"}
CONFIG = settle(load_config(["tracking.chunk_size=8"]))


@pytest.fixture(scope="session")
def labels() -> LabelArray:
    return shapes(FRAMES, HEIGHT, WIDTH)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, labels: LabelArray) -> Project:
    folder = tmp_path_factory.mktemp("import")
    video = write_frames(folder / "clip", moving_square(FRAMES, height=HEIGHT, width=WIDTH))
    return finished_project(folder / "project", video, labels, NAMES)


def imported(source: Path, project: Project, out: Path, **options: int) -> tuple[Imported, Project]:
    return import_masks(str(source), project.video.uri, str(out), CONFIG, **options), Project.open(out)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "form",
    ["davis", "youtube-vos", "binary-png", "mots-png", "coco", "ytvis", "mots", "kitti-mots", "cvat", "cvat-images"],
)
def test_an_export_comes_back_with_masks_ids_and_names(form: str, project: Project, labels: LabelArray, tmp_path: Path) -> None:
    source = tmp_path / f"out{SUFFIXES.get(form, '')}"
    project.export(form, source)
    done, back = imported(source, project, tmp_path / "p")
    assert (done.frames, done.left_out, done.without, done.resampled, done.overlapping) == (FRAMES, 0, 0, 0, 0)
    assert done.objects == {name: id_ for id_, name in enumerate(NAMES, 1)}
    np.testing.assert_array_equal(back.labels[:], labels)
    assert back.status.state == "done"
    assert (back.origin[:] == Origin.PROMPTED).all()
    assert [(p.object_name, p.frame) for p in back.prompts] == [("cat", 0), ("dog: left", 0), ("pedestrian-3", 2)]


@pytest.mark.parametrize("form", ["coco", "ytvis", "mots", "cvat", "cvat-images", "davis"])
def test_frames_without_an_object_are_empty_and_not_missing(form: str, project: Project, tmp_path: Path) -> None:
    labels = shapes(FRAMES, HEIGHT, WIDTH, objects=1)
    labels[4:8] = 0
    gone = finished_project(tmp_path / "gone", Path(project.video.uri), labels, ["cat"])
    source = tmp_path / f"out{SUFFIXES.get(form, '')}"
    gone.export(form, source)
    done, back = imported(source, project, tmp_path / "p")
    assert (done.frames, done.without) == (FRAMES, 0)
    np.testing.assert_array_equal(back.labels[:], labels)
    assert (back.origin[:] == Origin.PROMPTED).all()


def test_a_sparse_import_leaves_the_other_frames_untracked(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("youtube-vos", tmp_path / "out", every=5)
    done, back = imported(tmp_path / "out", project, tmp_path / "p")
    assert (done.frames, done.without) == (4, 16)
    np.testing.assert_array_equal(back.labels[10], labels[10])
    assert not back.labels[11].any()
    assert (back.origin[11] == Origin.UNTRACKED).all()


def test_colours_of_rgb_masks_are_objects_and_other_sizes_are_resampled(
    project: Project, labels: LabelArray, tmp_path: Path
) -> None:
    (tmp_path / "rgb").mkdir()
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (9, 9, 200)], np.uint8)
    for t in range(FRAMES):
        big = cv2.resize(labels[t], (WIDTH * 2, HEIGHT * 2), interpolation=cv2.INTER_NEAREST)
        Image.fromarray(colours[big]).save(tmp_path / "rgb" / f"frame{t:03d}.png")
    done, back = imported(tmp_path / "rgb", project, tmp_path / "p")
    assert set(done.objects) == {"object-ff0000", "object-00ff00", "object-0909c8"}
    assert done.resampled == FRAMES
    for name, id_ in (("object-ff0000", 1), ("object-00ff00", 2), ("object-0909c8", 3)):
        np.testing.assert_array_equal(back.masks[name][:], labels == id_)


@pytest.mark.parametrize("first", [0, 1])
def test_names_that_count_from_one_are_shifted(first: int, project: Project, labels: LabelArray, tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    for t in range(FRAMES):
        Image.fromarray((labels[t] == 1).astype(np.uint8) * 255).save(tmp_path / "grey" / f"mask_{t + first}.png")
    _, back = imported(tmp_path / "grey", project, tmp_path / "p")
    np.testing.assert_array_equal(back.labels[:], labels == 1)


def test_boxes_become_prompts(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("mot", tmp_path / "mot")
    done = import_prompts(str(tmp_path / "mot"), project.video.uri, str(tmp_path / "out"), every=9)
    assert done.objects == {name: id_ for id_, name in enumerate(NAMES, 1)}
    prompts = read_prompt_file(tmp_path / "out" / "prompts.json")
    given = [(p.object_name, p.frame) for p in prompts]
    assert sorted(given) == sorted(
        [
            (name, t)
            for name, shown in (("cat", (0, 9, 18)), ("dog: left", (0, 18)), ("pedestrian-3", (2, 9, 18)))
            for t in shown
        ]
    )
    for prompt in prompts:
        rows, columns = np.nonzero(labels[prompt.frame] == NAMES.index(prompt.object_name) + 1)
        assert prompt.data == Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    with pytest.raises(MaskFileError, match=r"boxes and no masks.*--as prompts"):
        imported(tmp_path / "mot", project, tmp_path / "p")


def test_masks_become_prompts_where_objects_first_appear(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("ytvis", tmp_path / "ytvis")
    import_prompts(str(tmp_path / "ytvis"), project.video.uri, str(tmp_path / "out"))
    prompts = read_prompt_file(tmp_path / "out" / "prompts.json")
    assert [(p.object_name, p.frame) for p in prompts] == [("cat", 0), ("dog: left", 0), ("pedestrian-3", 2)]
    for id_, prompt in enumerate(prompts, 1):
        assert isinstance(prompt.data, Mask)
        np.testing.assert_array_equal(prompt.data.to_array(), labels[prompt.frame] == id_)
    with pytest.raises(ExportError, match=r"export already|not an export"):
        import_prompts(str(tmp_path / "ytvis"), project.video.uri, str(tmp_path / "out"))


def test_cvats_zip_is_read_as_it_is(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    project.export("cvat", tmp_path / "a.xml")
    with zipfile.ZipFile(tmp_path / "task.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.xml", "annotations.xml")
        archive.writestr("../../escaped.txt", "never written")
    _, back = imported(tmp_path / "task.zip", project, tmp_path / "p")
    np.testing.assert_array_equal(back.labels[:], labels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.xml", "a.xml.export.json", "p", "task.zip"]


def test_overlaps_are_counted_and_polygons_read(project: Project, tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "../../etc/00004.png", "width": WIDTH, "height": HEIGHT}
    square = {"image_id": 1, "category_id": 1, "track_id": 1, "segmentation": [[10, 10, 20, 10, 20, 20, 10, 20]]}
    other = {**square, "track_id": 2, "segmentation": [[15, 10, 25, 10, 25, 20, 15, 20]]}
    file = tmp_path / "coco.json"
    file.write_text(json.dumps({"images": [image], "categories": [{"id": 1, "name": "cup"}], "annotations": [square, other]}))
    done, back = imported(file, project, tmp_path / "p")
    assert done.overlapping == 50
    assert (back.labels[4] == 1).sum() == 50
    assert (back.labels[4] == 2).sum() == 100
    assert list(done.objects) == ["cup-1", "cup-2"]


def test_an_existing_project_is_not_replaced(project: Project, tmp_path: Path) -> None:
    project.export("davis", tmp_path / "out")
    imported(tmp_path / "out", project, tmp_path / "p")
    with pytest.raises(ProjectExistsError):
        imported(tmp_path / "out", project, tmp_path / "p")
    imported(tmp_path / "out", project, tmp_path / "p", force=True)


# --- what is wrong -------------------------------------------------------------------------------------------------------


def _davis(folder: Path, project: Project) -> Path:
    project.export("davis", folder / "davis")
    return folder / "davis" / "Annotations" / "Full-Resolution" / "clip"


def break_picture(folder: Path, project: Project) -> Path:
    place = _davis(folder, project)
    data = (place / "00007.png").read_bytes()
    (place / "00007.png").write_bytes(data[: len(data) // 2])
    return place


def huge_picture(folder: Path, project: Project) -> Path:
    place = _davis(folder, project)
    Image.new("1", (12_000, 12_000)).save(place / "00007.png")
    return place


def other_shape(folder: Path, project: Project) -> Path:
    (folder / "square").mkdir()
    for t in range(FRAMES):
        Image.fromarray(np.ones((40, 40), np.uint8)).save(folder / "square" / f"{t}.png")
    return folder / "square"


def photograph(folder: Path, project: Project) -> Path:
    (folder / "photo").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photo" / "0.png")
    return folder / "photo"


def other_frames(folder: Path, project: Project) -> Path:
    (folder / "far").mkdir()
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(folder / "far" / "5000.png")
    return folder / "far"


def empty_folder(folder: Path, project: Project) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def _text(name: str, text: str) -> object:
    def make(folder: Path, project: Project) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def bomb(folder: Path, project: Project) -> Path:
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", "<annotations>" + " " * 50_000_000 + "</annotations>")
    return folder / "bomb.zip"


def cut_zip(folder: Path, project: Project) -> Path:
    with zipfile.ZipFile(folder / "cut.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", _MASK.format(rle=", ".join(map(str, range(4000))), left=0))
    data = bytearray((folder / "cut.zip").read_bytes())
    data[200:260] = bytes(60)
    (folder / "cut.zip").write_bytes(data)
    return folder / "cut.zip"


_MASK = (
    '<annotations><image id="0" name="a.png" width="63" height="47"><mask label="cat" occluded="0" rle="{rle}" left="{left}" '
    'top="0" width="4" height="4"/></image></annotations>'
)
_COCO = (
    '{{"images": [{{"id": 1, "file_name": "1.png", "width": {w}, "height": {h}}}], "categories": [], "annotations": '
    '[{{"image_id": 1, "track_id": 1, "segmentation": {{"size": [{h}, {w}], "counts": {counts}}}}}]}}'
)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (break_picture, ["00007.png", "cannot be read"]),
        (huge_picture, ["00007.png", "12000x12000"]),
        (other_shape, ["40x40", "63x47"]),
        (photograph, ["0.png", "colours"]),
        (other_frames, ["5000..5000", "--first-frame"]),
        (empty_folder, ["no PNG"]),
        (bomb, ["bomb.zip", "zip bomb"]),
        (cut_zip, ["cut.zip"]),
        (_text("a.json", "{"), ["a.json", "not JSON"]),
        (_text("a.json", "[1, 2]"), ["a.json", "annotations"]),
        (_text("a.json", '{"annotations": [{"image_id": 3}], "images": []}'), ["a.json", "damaged"]),
        (_text("a.json", _COCO.format(w=63, h=47, counts="[5, 9999999]")), ["object-1", "frame 1"]),
        (_text("a.json", _COCO.format(w=63, h=47, counts='"~~~~"')), ["object-1", "frame 1"]),
        (_text("a.json", _COCO.format(w=900000, h=900000, counts='"0"')), ["900000x900000"]),
        (_text("a.txt", "hello\n"), ["a.txt", "neither MOTS"]),
        (_text("a.txt", "1 1001 1 47 63 0\n2 x 1 47 63 0\n"), ["a.txt, line 2"]),
        (_text("a.xml", "<annotations><track id='0'>"), ["a.xml", "not whole XML"]),
        (_text("a.xml", "<annotations></annotations>"), ["a.xml", "no mask"]),
        (_text("a.xml", '<!DOCTYPE a [<!ENTITY b "cc">]><annotations>&b;</annotations>'), ["a.xml", "unsafe"]),
        (_text("a.xml", _MASK.format(rle="0, 4000", left=0)), ["cat", "frame 0"]),
        (_text("a.xml", _MASK.format(rle="0, 16", left=61)), ["cat", "outside"]),
        (_text("a.xml", _MASK.format(rle="zero", left=0)), ["a.xml, line 1"]),
        (_text("a.tif", "x"), ["a.tif", "COCO"]),
        (lambda folder, _: folder / "nothing", ["nothing"]),
    ],
)
def test_what_cannot_be_imported_is_named(make: object, words: list[str], project: Project, tmp_path: Path) -> None:
    source = make(tmp_path, project)  # type: ignore[operator]
    with pytest.raises(MaskFileError) as caught:
        imported(source, project, tmp_path / "p")
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "p" / "project.json").exists() or Project.open(tmp_path / "p").status.state != "done"

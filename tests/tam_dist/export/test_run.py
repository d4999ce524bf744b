"""What every export has in common: all or nothing, its record, and one sentence where it cannot be done."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tam_dist.errors import ExportError, PromptError, StorageError, TamDistError
from tam_dist.export import png
from tam_dist.export.formats import FORMATS
from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.finished import CHUNK, finished_project, store_chunks
from tests.tam_dist.export.conftest import FRAMES, NAMES


def test_the_record_says_what_was_exported_from_what(project: Project, tmp_path: Path) -> None:
    project.export("davis", tmp_path / "out", objects=["cat"], frames=(2, 11), every=3)
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["tool"] == "tam-dist"
    assert record["request"]["format"] == "davis"
    assert record["source"]["fingerprint"] == project.video.fingerprint
    assert record["frames"] == {"first": 2, "last": 11, "every": 3, "exported": 4, "untracked": 0}
    assert [(o["id"], o["name"]) for o in record["objects"]] == [(1, "cat")]
    assert record["models"]["xmem"]["sha256"] == "ab" * 32


@pytest.mark.parametrize(
    ("wish", "error", "words"),
    [
        ({"format": "davsi"}, ExportError, ["davsi", "did you mean davis"]),
        ({"format": "ytvos"}, ExportError, ["did you mean youtube-vos"]),
        ({"format": "soft-png"}, ExportError, ["how likely", "binary-png"]),
        ({"objects": ["kat"]}, PromptError, ["'kat'", "did you mean 'cat'"]),
        ({"frames": (5, 20)}, ExportError, ["5..20", "0..19"]),
        ({"every": 0}, ExportError, ["--every"]),
    ],
)
def test_what_is_not_there_is_named(
    wish: dict[str, object], error: type[TamDistError], words: list[str], project: Project, tmp_path: Path
) -> None:
    wish = {"format": "davis", **wish}
    with pytest.raises(error) as caught:
        project.export(wish.pop("format"), tmp_path / "out", **wish)  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_only_an_earlier_export_is_replaced_and_only_when_asked(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "holiday.jpg").write_text("mine")
    with pytest.raises(ExportError, match="not an export"):
        project.export("davis", out, replace=True)
    (out / "holiday.jpg").unlink()
    project.export("davis", out)  # an empty folder is free
    with pytest.raises(ExportError, match="--replace"):
        project.export("davis", out)
    project.export("davis", out, frames=(0, 0), replace=True)
    assert len(list(out.rglob("*.png"))) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(ExportError, match="not an export"):
        project.export("davis", tmp_path / "link", replace=True)


def test_no_name_of_an_object_leaves_the_folder(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    names = ["../../up", "/root/x", "<b>&amp;\"'"]
    odd = finished_project(tmp_path / "p", Path(project.video.uri), labels, names)
    for form in ("binary-png", "vot", "label-studio", "coco"):
        odd.export(form, tmp_path / form)
    odd.export("cvat", tmp_path / "cvat.xml")
    kept = {"p", "binary-png", "vot", "label-studio", "coco", "cvat.xml", "cvat.xml.export.json"}
    assert {p.name for p in tmp_path.iterdir()} == kept
    assert sorted(p.name for p in (tmp_path / "binary-png").iterdir())[0] == "1-_.._up"
    root = ElementTree.parse(tmp_path / "cvat.xml").getroot()
    assert [label.findtext("name") for label in root.iter("label")] == names
    assert ElementTree.parse(tmp_path / "label-studio" / "labels.xml").getroot().find(".//Label[3]").get("value") == names[2]


def test_a_url_is_refused(project: Project) -> None:
    with pytest.raises(ExportError, match="s3://bucket/out"):
        project.export("davis", "s3://bucket/out")


def test_a_video_tracked_in_part_is_exported_only_when_asked(project: Project, labels: LabelArray, tmp_path: Path) -> None:
    part = finished_project(tmp_path / "part", Path(project.video.uri), labels, NAMES, tracked=1)
    with pytest.raises(ExportError, match=rf"{CHUNK} of the {FRAMES} frames.*--partial"):
        part.export("davis", tmp_path / "out")
    done = part.export("davis", tmp_path / "out", partial=True)
    assert (done.frames, done.untracked) == (CHUNK, FRAMES - CHUNK)
    assert len(list((tmp_path / "out").rglob("*.png"))) == CHUNK
    assert json.loads((tmp_path / "out" / "export.json").read_text())["frames"]["untracked"] == FRAMES - CHUNK
    part.export("davis", tmp_path / "whole", frames=(1, 5))  # all there
    with pytest.raises(ExportError, match="no tracked frame"):
        part.export("davis", tmp_path / "none", frames=(12, 15), partial=True)


def test_more_ids_than_the_format_holds_are_refused_with_formats_that_hold_them(project: Project, tmp_path: Path) -> None:
    info = replace(project.video, frame_count=1, height=20, width=20)
    rows = np.arange(400, dtype=np.uint16).reshape(1, 20, 20)
    many = store_chunks(tmp_path / "many", info, np.arange(1), [rows], [f"thing-{i}" for i in range(1, 400)])
    with pytest.raises(ExportError, match=r"up to 254, but 'thing-255' has id 255.*--objects.*binary-png"):
        many.export("davis", tmp_path / "out")
    many.export("davis", tmp_path / "out", objects=[f"thing-{i}" for i in range(1, 255)])
    (found,) = (tmp_path / "out").rglob("*.png")
    from PIL import Image

    with Image.open(found) as image:
        np.testing.assert_array_equal(np.asarray(image), np.where(rows[0] < 255, rows[0], 0))


def test_an_error_half_way_leaves_nothing(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = png.save_indexed, [0]

    def failing(path: Path, labels: LabelArray, colours: np.ndarray) -> None:
        calls[0] += 1
        if calls[0] == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, labels, colours)

    monkeypatch.setattr(png, "save_indexed", failing)
    with pytest.raises(StorageError, match=re.escape(str(tmp_path / "out")) + ".*No space left.*nothing was left"):
        project.export("davis", tmp_path / "out")
    assert not list(tmp_path.iterdir())


_SLOW_EXPORT = """
import sys, time
from tam_dist.export import png
from tam_dist.project import Project
real = png.save_indexed
def slow(*args):
    real(*args)
    print("written", flush=True)
    time.sleep(60)
png.save_indexed = slow
Project.open(sys.argv[1]).export("davis", sys.argv[2])
"""


def test_a_killed_export_never_looks_finished_and_its_remains_are_swept(project: Project, tmp_path: Path) -> None:
    words = [sys.executable, "-c", _SLOW_EXPORT, project.location, str(tmp_path / "out")]
    child = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "out").exists()
    assert len(list(tmp_path.iterdir())) == 1
    project.export("davis", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_every_format_is_described_and_its_writer_is_there() -> None:
    for name, form in FORMATS.items():
        assert form.name == name
        assert callable(form.load())
        documented = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
        assert f"`{name}`" in documented

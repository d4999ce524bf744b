"""The commands that change what is asked of a project, as somebody at a terminal and as a program uses them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.cli import run as command
from tam_dist.errors import ExitCode
from tam_dist.types import Absent, Clicks
from tests.tiny import square

Out = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, tiny_video: Path, tiny_settings: tuple[str, ...]) -> str:
    """Tracked with "cat"."""
    out = tmp_path / "p"
    tam_dist.track(tiny_video, [tam_dist.mask("cat", square(4, 10))], out=out, settings=tiny_settings)
    return str(out)


def test_a_correction_is_tracked_where_nobody_does(project: str, tmp_path: Path, capsys: Out) -> None:
    labels = tmp_path / "cat.png"
    Image.fromarray(square(30, 20).astype(np.uint8)).save(labels)
    (tmp_path / "prompts.json").write_text(json.dumps([{"object": "cat", "frame": 33, "mask": "cat.png"}]))
    prompts = str(tmp_path / "prompts.json")
    assert command(["correct", project, "--prompts", prompts, "--executor", "inline", "--quiet", "--seen", "33=1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "corrected 'cat' on frame 33"
    assert out[1].startswith("tracked ")
    assert np.array_equal(tam_dist.Project.open(project).masks["cat"][33], square(30, 20))
    assert command(["undo", project, "--executor", "inline", "--quiet", "--json"]) == 0
    said, tracked = map(json.loads, capsys.readouterr().out.splitlines())
    assert (said["done"], said["live"], len(said["entries"])) == ("took back what was asked last", False, 1)
    assert tracked["tracked"] > 0
    assert not np.array_equal(tam_dist.Project.open(project).masks["cat"][33], square(30, 20))


def test_what_is_asked_for_later_is_only_noted(project: str, capsys: Out) -> None:
    commands = (
        (["correct", "--click", "cat@20:5,6", "--absent", "cat@40..43"], "corrected 'cat' on frame 20, 'cat' on frame 40"),
        (["correct", "--click", "cat@20:7,8", "--replace"], "corrected 'cat' on frame 20"),
        (["add", "owl", "--click", "12:9,9", "--click", "12:1,1,-"], "added 'owl'"),
        (["remove", "cat", "10..12"], "removed 'cat' in frames 10..12"),
        (["lock", "20"], "locked frame 20"),
        (["unlock", "20", "--object", "cat"], "unlocked frame 20"),
        (["retrack", "8..15"], "asked for frames 8..15 anew"),
        (["undo"], "took back what was asked last"),
        (["redo"], "asked again for what was taken back last"),
    )
    store = ProjectStore.open(project, write=False)
    for (name, *arguments), done in commands:
        before = len(store.entries())
        assert command([name, project, *arguments, "--later"]) == 0
        assert capsys.readouterr().out == f"{done}; tam-dist resume {project} tracks it\n"
        assert len(store.entries()) > before
    clicked = [p for p in store.prompts() if p.frame == 20 and isinstance(p.data, Clicks)]
    assert [p.undone_by is None for p in clicked] == [False, True]  # the first was replaced
    assert Absent(10, 12) in [p.data for p in store.prompts()]


def test_a_name_is_changed_at_once(project: str, capsys: Out) -> None:
    assert command(["rename", project, "cat", "tom"]) == 0
    assert capsys.readouterr().out == "'cat' is 'tom' now\n"
    assert command(["status", project, "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["objects"]] == ["tom"]
    assert command(["undo", project, "--quiet", "--executor", "inline"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("tracked 0 frames")


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["correct", "--click", "cta@0:1,1"], "There is no object 'cta' in this project; did you mean 'cat'?", 2),
        (["correct", "--click", "cat@44:1,1"], "is outside the frames 0..43", 2),
        (["correct"], "Nothing is corrected: give at least one click, box, mask or absence.", 2),
        (["correct", "--click", "cat@0:1,1", "--seen", "0"], "--seen '0' is no revision of a frame: write 120=1.", 2),
        (["correct", "--click", "cat@0:1,1", "--seen", "0=7"], "Frame 0 has masks of revision 1, and what you looked at", 1),
        (["undo"], "There is nothing to undo in", 2),
        (["redo"], "There is nothing to redo in", 2),
        (["add", "cat", "--click", "0:1,1"], "There is an object 'cat' in this project", 2),
        (["add", "owl"], "Nothing is asked for in", 2),
        (["remove", "cat", "5-9"], "'5-9' is not a range of frames: write 100..140.", 2),
        (["remove", "cat", "40..44"], "The absence 40..44 of 'cat' is not a range within", 2),
        (["rename", "dog", "cat"], "There is no object 'dog' in this project", 2),
        (["lock", "44"], "There is no frame 44", 2),
        (["unlock", "3"], "Frame 3 is not locked.", 2),
        (["retrack", "9..8"], "9..8 are no frames", 2),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str, code: int, project: str, capsys: Out) -> None:
    name, *rest = arguments
    before = ProjectStore.open(project, write=False).entries()
    assert command([name, project, *rest]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err
    assert ProjectStore.open(project, write=False).entries() == before


def test_a_project_that_is_none(tmp_path: Path, capsys: Out) -> None:
    assert command(["undo", str(tmp_path)]) == ExitCode.FAILED
    assert "is not a tam-dist project" in capsys.readouterr().err


def test_the_log_and_what_happens(project: str, capsys: Out) -> None:
    assert command(["correct", project, "--click", "cat@20:5,6", "--later", "--json"]) == 0
    group = json.loads(capsys.readouterr().out)["group"]
    assert command(["log", project, "--json"]) == 0
    _, correction = json.loads(capsys.readouterr().out)
    assert (correction["group"], correction["asked"]) == (group, "clicks for 'cat' on frame 20")
    assert command(["undo", project, "--later"]) == 0
    capsys.readouterr()
    assert command(["log", project]) == 0
    assert [line.split("  ", 2)[2] for line in capsys.readouterr().out.splitlines()] == [
        "mask for 'cat' on frame 0",
        "clicks for 'cat' on frame 20  (taken back)",
        "undo: clicks for 'cat' on frame 20",
    ]
    assert command(["watch", project, "--until-done"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "done: 44 of 44 frames"
    assert "frames 0..7" in lines
    assert command(["watch", project, "--until-done", "--json", "--since", str(2**52)]) == 0
    assert [json.loads(line)["what"] for line in capsys.readouterr().out.splitlines()] == ["state"]

"""``tam-dist prompts`` and ``propose``; the published schema agrees with what is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tam_dist.errors import PromptError
from tam_dist.prompt_files import read_prompt_file
from tests.tam_dist.cli.conftest import Command

CLICKS = {"object": "cat", "frame": 0, "clicks": [[10, 14, 1], [50, 40, 0], [11, 14]]}
GOOD: list[object] = [
    [CLICKS],
    [{"object": "cat", "frame": 2, "box": [1, 2, 30, 40.5]}, {"object": "cat", "absent": [4, 9]}],
    {"objects": ["dog", "cat"], "prompts": [CLICKS, {"object": "dog", "frame": 0, "mask": "m.png"}]},
    [{"object": "cat", "frame": 0, "polygon": [[1, 1], [9, 1], [9, 9]], "size": [64, 48]}],
    [{"object": "cat", "frame": 0, "polygon": [[[1, 1], [9, 1], [9, 9]], [[20, 20], [30, 20], [30, 30]]], "size": [64, 48]}],
]
BAD: list[object] = [
    {"prompt": [CLICKS]},
    [{**CLICKS, "box": [1, 2, 3, 4]}],
    [{"object": "cat", "frame": 0}],
    [{"object": "", "frame": 0, "box": [1, 2, 3, 4]}],
    [{"object": "cat", "frame": -1, "box": [1, 2, 3, 4]}],
    [{"object": "cat", "box": [1, 2, 3, 4]}],
    [{"object": "cat", "frame": 0, "box": [1, 2, 3]}],
    [{"object": "cat", "frame": 0, "clicks": [[1, 2, 3]]}],
    [{"object": "cat", "frame": 0, "clicks": []}],
    [{"object": "cat", "frame": 0, "polygon": [[1, 1], [9, 1]], "size": [64, 48]}],
    [{"object": "cat", "frame": 0, "polygon": [[1, 1], [9, 1], [9, 9]]}],
    [{"frame": 0, "box": [1, 2, 3, 4]}],
    [{"object": "cat", "absent": [4]}],
    "cat",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(np.ones((48, 64), np.uint8)).save(tmp_path / "m.png")
    return tmp_path


@pytest.mark.parametrize("content", [*GOOD, *BAD])
def test_the_schema_takes_what_is_read_and_nothing_else(content: object, folder: Path, tam_dist_command: Command) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(tam_dist_command("prompts", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    taken = jsonschema.Draft202012Validator(schema).is_valid(content)
    (folder / "p.json").write_text(json.dumps(content))
    try:
        read_prompt_file(folder / "p.json")
        read = True
    except PromptError:
        read = False
    assert taken == read == (content in GOOD)


def test_check_says_what_is_asked(folder: Path, tam_dist_command: Command, tiny_video: Path) -> None:
    (folder / "p.json").write_text(json.dumps(GOOD[2]))
    ran = tam_dist_command("prompts", "check", folder / "p.json", "--video", tiny_video)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0].strip() == "1 dog: mask on frame 0"
    assert "2 prompts, 2 objects" in ran.out
    assert tam_dist_command("prompts", "check", folder / "p.json", "--json").json["objects"]["cat"] == ["clicks on frame 0"]
    (folder / "p.json").write_text(json.dumps([{**CLICKS, "frame": 44}]))
    ran = tam_dist_command("prompts", "check", folder / "p.json", "--video", tiny_video)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "44" in ran.err


def test_proposals_are_prompts_that_track_takes(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    words = ["propose", tiny_video, "--out", tmp_path / "found", "--score", "0", "--grid", "3", *tiny_settings]
    from tam_dist import propose

    with pytest.MonkeyPatch.context() as patch:  # random weights are never sure
        patch.setattr(propose, "stability", lambda _answer: 1.0)
        ran = tam_dist_command(*words, "--json")
        assert ran.code == 0, ran.err
        assert tam_dist_command(*words).code == 2  # there is one already
    names = ran.json["objects"]
    assert names == [f"object-{i}" for i in range(1, len(names) + 1)]
    assert (tmp_path / "found" / "preview.png").is_file()
    assert tam_dist_command("prompts", "check", tmp_path / "found" / "prompts.json", "--video", tiny_video).code == 0


def test_a_frame_that_is_not_there_and_a_sure_ground_are_said(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    words = ["propose", tiny_video, "--out", tmp_path / "found", "--grid", "2", *tiny_settings]
    ran = tam_dist_command(*words, "--frame", "44")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "0..43" in ran.err
    assert tam_dist_command(*words, "--grid", "0").code == 2
    ran = tam_dist_command(*words, "--score", "1")
    assert ran.code == 2
    assert "--score" in ran.err
    assert not (tmp_path / "found").exists()

"""Reading corpora: what is understood, and what is said where it is not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tam_dist.addresses import absolute
from tam_dist.corpus.lines import BrokenLine, CorpusLine, PromptRule, parse_lines, read_corpus, stem
from tam_dist.errors import ConfigError, PromptError, StorageError
from tam_dist.types import Box, Click, Clicks, Mask
from tests.tiny import square, write_frames

PROMPTS: list[dict[str, Any]] = [{"object": "cat", "frame": 0, "clicks": [[3, 4, 1], [5, 6, 0]]}]
RULE = PromptRule(clicks=("cat@0:3,4",))


def one(text: str, rule: PromptRule | None = None) -> CorpusLine | BrokenLine:
    (line,) = parse_lines([text], "c.jsonl", "/films", rule or PromptRule())
    return line


def test_a_line_names_a_video_and_its_prompts() -> None:
    line = one(json.dumps({"video": "a.mp4", "prompts": PROMPTS, "name": "cat-1"}))
    assert isinstance(line, CorpusLine)
    assert (line.number, line.video, line.written, line.name) == (1, "/films/a.mp4", "a.mp4", "cat-1")
    assert [p.data for p in line.prompts] == [Clicks((Click(3, 4), Click(5, 6, False)))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "c.jsonl, line 1 is not JSON: "),
        ("a.mp4", "c.jsonl, line 1 is not JSON: "),
        ("[]", "c.jsonl, line 1 must be an object"),
        ("{}", 'line 1, field "video": null must be the path'),
        ('{"video": 3}', 'field "video": 3 must be'),
        ('{"video": "a", "promts": []}', "unknown field 'promts'; did you mean 'prompts'?"),
        ('{"video": "a"}', 'line 1 lacks the field "prompts": say what to track in a.'),
        ('{"video": "a", "prompts": 5}', 'field "prompts" must hold a list'),
        ('{"video": "a", "prompts": [{"object": "c", "frame": 0}]}', 'line 1, field "prompts", prompt 1 must have exactly one'),
        ('{"video": "a", "prompts": [], "name": "x/y"}', 'field "name": "x/y" can\'t name'),
        ('{"video": "a", "prompts": [], "name": ".."}', 'field "name": ".." can\'t name'),
        ('{"video": "a", "prompts": [], "name": "run.json"}', 'field "name": "run.json" can\'t name'),
        ('{"video": "a", "prompts": [], "name": 5}', 'field "name": 5 can\'t name'),
        ('{"video": "a", "prompts": [{"object": "c", "frame": 0, "mask": "no.png"}]}', "the mask /films/no.png does not exist"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_field(text: str, reason: str) -> None:
    line = one(text)
    assert isinstance(line, BrokenLine)
    assert reason in line.reason


def test_blank_lines_and_comments_keep_the_numbers() -> None:
    lines = ["\ufeff# my corpus\n", "\n", json.dumps({"video": "a", "prompts": PROMPTS}) + "\n", "oops\n"]
    assert [line.number for line in parse_lines(lines, "c", "/", PromptRule())] == [3, 4]


def test_a_line_without_prompts_takes_the_rule() -> None:
    line = one('{"video": "a.mp4"}', RULE)
    assert isinstance(line, CorpusLine)
    assert [p.object_name for p in line.prompts] == ["cat"]


def test_a_rule_with_the_videos_name_in_its_paths(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(Mask.from_array(square(1, 2)).png)
    (tmp_path / "a.json").write_text(json.dumps([{"object": "dog", "frame": 3, "box": [1, 2, 3, 4]}]))
    rule = PromptRule(labels=("0={folder}/{stem}.png",), files=("{folder}/{stem}.json",))
    kinds = {type(prompt.data) for prompt in rule.prompts_for(f"{tmp_path}/a.mp4")}
    assert kinds == {Mask, Box}
    with pytest.raises(PromptError, match=r"b\.png does not exist"):
        rule.prompts_for(f"{tmp_path}/b.mp4")


def test_a_corpus_file_on_a_disk_and_behind_a_url(tmp_path: Path) -> None:
    text = json.dumps({"video": "sub/a.mp4", "prompts": PROMPTS}) + "\n" + json.dumps({"video": "s3://b/c.mp4", "prompts": []})
    (tmp_path / "c.jsonl").write_text(text)
    assert [line.video for line in read_corpus(str(tmp_path / "c.jsonl"))] == [f"{tmp_path}/sub/a.mp4", "s3://b/c.mp4"]
    fsspec.filesystem("memory").pipe_file("/lists/c.jsonl", text.encode())
    assert [line.video for line in read_corpus("memory://lists/c.jsonl")] == ["memory://lists/sub/a.mp4", "s3://b/c.mp4"]


def test_standard_input_is_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = read_corpus("-", stdin=io.StringIO(json.dumps({"video": "a.mp4", "prompts": PROMPTS})))
    assert line.video == f"{tmp_path}/a.mp4"


def test_a_folder_holds_videos_and_folders_of_images(tmp_path: Path) -> None:
    from tests.tiny import moving_square

    for name in ("b.MP4", "a.mkv", "notes.txt", ".hidden.mp4", "a.png.json"):
        (tmp_path / name).touch()
    write_frames(tmp_path / "frames", moving_square(1))
    (tmp_path / "empty").mkdir()
    found = read_corpus(str(tmp_path), RULE)
    assert [Path(line.video).name for line in found] == ["a.mkv", "b.MP4", "frames"]
    assert [line.video for line in read_corpus(str(tmp_path / "frames"), RULE)] == [f"{tmp_path}/frames"]


def test_a_glob_takes_what_matches(tmp_path: Path) -> None:
    for name in ("a/x.mp4", "b/x.mp4", "b/y.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [line.video for line in read_corpus(f"{tmp_path}/*/x.*", RULE)] == [f"{tmp_path}/{d}/x.mp4" for d in "ab"]
    assert len(read_corpus(f"{tmp_path}/**/*.*", RULE)) == 3
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/globbed/1.mp4", b"")
    (line,) = read_corpus("memory://globbed/*.mp4", RULE)
    assert fsspec.core.url_to_fs(line.video)[1] == "/globbed/1.mp4"


def test_a_name_that_looks_like_a_glob_is_that_video(tmp_path: Path) -> None:
    for name in ("Movie [1080p].mp4", "Movie p.mp4"):
        (tmp_path / name).touch()
    (line,) = read_corpus(f"{tmp_path}/Movie [1080p].mp4", RULE)
    assert line.video == f"{tmp_path}/Movie [1080p].mp4"
    (line,) = read_corpus(f"{tmp_path}/Movie [pq].mp4", RULE)
    assert line.video == f"{tmp_path}/Movie p.mp4"


def test_links_in_a_folder_are_what_they_lead_to(tmp_path: Path) -> None:
    from tests.tiny import moving_square

    folder = tmp_path / "films"
    folder.mkdir()
    (tmp_path / "far.mp4").touch()
    write_frames(tmp_path / "frames", moving_square(1))
    for name, target in (("a.mp4", "far.mp4"), ("b", "frames"), ("c.mp4", "gone.mp4")):
        (folder / name).symlink_to(tmp_path / target)
    assert [Path(line.video).name for line in read_corpus(str(folder), RULE)] == ["a.mp4", "b", "c.mp4"]


def test_a_prompt_rule_for_an_object_store_finds_masks_beside_its_videos(tmp_path: Path) -> None:
    from tests.tiny import moving_square

    picture = write_frames(tmp_path / "mask", moving_square(1) // 200) / "00000.png"
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/ruled/a.mp4", b"")
    memory.pipe_file("/ruled/a.png", picture.read_bytes())
    (line,) = read_corpus("memory://ruled/*.mp4", PromptRule(labels=("0={folder}/{stem}.png",)))
    assert isinstance(line, CorpusLine), line
    assert [prompt.data.kind for prompt in line.prompts] == ["mask"]


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        ("a\\udcff.mp4", "line 1: the name of the video a\\udcff.mp4 is not UTF-8: rename it"),
        ("a\\nb.mp4", "holds a control character"),
        ("a" * 300 + ".mp4", "is longer than 255 bytes"),
    ],
)
def test_a_video_that_no_record_can_name_is_a_broken_line(video: str, reason: str) -> None:
    (line,) = parse_lines([f'{{"video": "{video}", "prompts": []}}'], "c.jsonl", "/films", RULE)
    assert isinstance(line, BrokenLine)
    assert reason in line.reason


def nothing(folder: Path) -> str:
    (folder / "c.jsonl").write_text("# nothing\n")
    return str(folder / "c.jsonl")


def latin(folder: Path) -> str:
    (folder / "c.jsonl").write_bytes('{"video": "für.mp4"}'.encode("latin-1"))
    return str(folder / "c.jsonl")


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (lambda folder: str(folder / "no.jsonl"), ConfigError, "There is no corpus"),
        (lambda folder: str(folder / "no"), ConfigError, "There is no corpus"),
        (lambda folder: str(folder), ConfigError, "No video was found"),
        (lambda folder: f"{folder}/*.mp4", ConfigError, "No video was found"),
        (nothing, ConfigError, "names no video"),
        (latin, ConfigError, "is not text in UTF-8"),
        (lambda folder: "nothere://x/c.jsonl", StorageError, "can't be read"),
        (lambda folder: "nothere://x/y", StorageError, "can't be read"),
    ],
)
def test_a_corpus_that_is_none(make: Callable[[Path], str], error: type[Exception], reason: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=reason):
        read_corpus(make(tmp_path), RULE)


def test_a_folder_needs_a_rule(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(PromptError, match="give --click"):
        read_corpus(str(tmp_path))


@pytest.mark.parametrize(("path", "name"), [("/x/a.b.mp4", "a.b"), ("a.v2", "a.v2"), ("/x/.mp4", ".mp4"), ("s3://b/k/f/", "f")])
def test_stem(path: str, name: str) -> None:
    assert stem(path) == name


def test_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("a.mp4") == f"{tmp_path}/a.mp4"
    assert absolute("/x/a.mp4", "s3://b") == "/x/a.mp4"
    assert absolute("s3://b/a.mp4", "/x") == "s3://b/a.mp4"


def test_whatever_a_remote_library_raises_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """As botocore's, which derives from nothing that is ours."""

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(fsspec, "open", refuse)
    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    for source in ("s3://films/c.jsonl", "s3://films"):
        with pytest.raises(StorageError, match="Unable to locate credentials: check the address"):
            read_corpus(source, RULE)

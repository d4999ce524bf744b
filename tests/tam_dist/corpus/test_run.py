"""Whole corpora through the inline executor: what is broken is set aside with its reason, and nothing is done twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tam_dist
from storage.location import Location
from storage.project_store import ProjectStore
from tam_dist.config import Config, load_config
from tam_dist.coordination.video import VideoJob
from tam_dist.corpus import run as corpus_run
from tam_dist.corpus.lines import PromptRule, read_corpus
from tam_dist.corpus.run import CorpusResult, run_corpus
from tam_dist.errors import ExitCode, ProjectExistsError, ProjectLockedError, WeightsError
from tam_dist.monitoring import monitor
from tam_dist.monitoring.marks import FAILED
from tam_dist.monitoring.report import RunReport, read_report
from tam_dist.monitoring.requests import REQUESTS, ask_to_cancel
from tam_dist.preparation import settle
from tam_dist.types import Mask
from tests.tam_dist.corpus.conftest import LENGTHS, encode_sound
from tests.tiny import moving_square, square, write_frames

MakeClip = Callable[[Path, int], Path]
CLICK: dict[str, Any] = {"object": "cat", "frame": 0, "clicks": [[12, 18, 1]]}


@pytest.fixture
def config(tiny_settings: tuple[str, ...]) -> Config:
    return settle(load_config(tiny_settings))


def write_corpus(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def run(corpus: str, out: Path | str, config: Config, **options: Any) -> CorpusResult:
    return run_corpus(read_corpus(corpus), str(out), config, "inline", **options)


def failures(out: Path) -> dict[str, dict[str, Any]]:
    return {Path(line["video"]).name: line for line in map(json.loads, (out / FAILED).read_text().splitlines())}


def state_of_files(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file of the projects."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for project in out.iterdir()
        if project.is_dir()
        for path in [project, *project.rglob("*")]
    }


def break_eight(folder: Path, clip: MakeClip) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Lines that can't be run, each in another way, and what is said of them."""
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    whole = clip(folder / "whole.mp4", 0).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "whole.mp4").unlink()
    encode_sound(folder / "sound.mp4")
    for name in ("outside.mp4", "field.mp4", "size.mp4"):
        clip(folder / name, 0)
    (folder / "small.png").write_bytes(Mask.from_array(np.ones((20, 30), bool)).png)
    lines = [{"video": f"{name}.mp4", "prompts": [CLICK]} for name in ("missing", "empty", "text", "cut", "sound")]
    lines.append({"video": "outside.mp4", "prompts": [CLICK | {"clicks": [[64, 10, 1]]}]})
    lines.append({"video": "field.mp4", "prompts": [CLICK | {"colour": "red"}]})
    lines.append({"video": "size.mp4", "prompts": [{"object": "cat", "frame": 0, "mask": "small.png"}]})
    reasons = {
        "missing.mp4": "no video at",
        "empty.mp4": "0 bytes",
        "text.mp4": "text.mp4",
        "cut.mp4": "cut.mp4",
        "sound.mp4": "sound.mp4",
        "outside.mp4": "outside the picture of",
        "field.mp4": "line 57, field \"prompts\", prompt 1 has an unknown field 'colour'",
        "size.mp4": "is 30x20 but the picture of",
    }
    return lines, reasons


def test_sixty_clips_of_which_eight_are_broken(tmp_path: Path, clip: MakeClip, config: Config) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    good = [{"video": clip(folder / f"{n:02}.mp4", n).name, "prompts": [CLICK]} for n in range(52)]
    bad, reasons = break_eight(folder, clip)
    corpus = write_corpus(folder / "corpus.jsonl", good[:50] + bad + good[50:])

    first = run(corpus, out, config)
    assert (first.done, first.already, len(first.failed), first.stopped) == (52, 0, 8, 0)
    assert first.frames == sum(LENGTHS) * 13
    assert first.exit_code is ExitCode.SOME_FAILED
    said = failures(out)
    assert said.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in said[name]["reason"]
        assert said[name]["reason"].endswith(".")
        assert "\n" not in said[name]["reason"]
    assert [line["line"] for line in said.values()] == list(range(51, 59))
    report = read_report(Location.parse(out))
    assert report is not None
    assert report.ended is not None
    assert report.counts == {"done": 52, "failed": 8}
    project = tam_dist.Project.open(out / "08")
    assert project.status.state == "done"
    assert (np.asarray(project.quality[:]) >= 0).all()

    before = state_of_files(out)
    shown: list[RunReport] = []
    second = run(corpus, out, config, show=shown.append)
    assert (second.done, second.already, len(second.failed), second.frames) == (0, 52, 8, 0)
    assert state_of_files(out) == before
    assert all(stage.calls == 0 for stage in shown[-1].stages)  # nothing was decoded, nothing written
    assert failures(out) == said


def test_a_mended_video_is_run_and_its_failure_forgotten(tmp_path: Path, clip: MakeClip, config: Config) -> None:
    corpus = write_corpus(tmp_path / "c.jsonl", [{"video": f"{n}.mp4", "prompts": [CLICK]} for n in "ab"])
    clip(tmp_path / "a.mp4", 2)
    assert run(corpus, tmp_path / "out", config).exit_code is ExitCode.SOME_FAILED
    clip(tmp_path / "b.mp4", 2)
    second = run(corpus, tmp_path / "out", config)
    assert (second.done, second.already, second.exit_code) == (1, 1, ExitCode.DONE)
    assert not (tmp_path / "out" / FAILED).exists()


def test_a_frame_that_cannot_be_decoded_ends_its_video_alone(
    tmp_path: Path, clip: MakeClip, tiny_settings: tuple[str, ...]
) -> None:
    config = settle(load_config([*tiny_settings, "media.on_damage=stop"]))
    frames = write_frames(tmp_path / "frames", moving_square(24))
    (frames / "00013.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    clip(tmp_path / "good.mp4", 0)
    lines = [{"video": name, "prompts": [CLICK]} for name in ("frames", "good.mp4")]
    result = run(write_corpus(tmp_path / "c.jsonl", lines), tmp_path / "out", config)
    assert (result.done, [failed.name for failed in result.failed]) == (1, ["frames"])
    assert "00013.png" in result.failed[0].reason or "frame 13" in result.failed[0].reason
    status = ProjectStore.open(tmp_path / "out" / "frames", write=False).status()
    assert (status.state, status.reason) == ("failed", result.failed[0].reason)


def test_masks_do_not_depend_on_the_company_they_are_tracked_in(
    tmp_path: Path, clip: MakeClip, config: Config, tiny_settings: tuple[str, ...]
) -> None:
    videos = [clip(tmp_path / f"{n}.mp4", n) for n in range(4)]
    prompts = [CLICK, {"object": "dog", "frame": 2, "box": [20, 8, 44, 30]}]
    corpus = write_corpus(tmp_path / "c.jsonl", [{"video": v.name, "prompts": prompts} for v in videos])
    assert run(corpus, tmp_path / "out", config).done == 4
    for video in videos:
        given = [tam_dist.click("cat", 12, 18), tam_dist.box("dog", 20, 8, 44, 30, frame=2)]
        alone = tam_dist.track(video, given, out=tmp_path / "alone" / video.stem, settings=tiny_settings)
        assert np.array_equal(alone.labels[:], tam_dist.Project.open(tmp_path / "out" / video.stem).labels[:])


def test_a_stopped_run_is_continued(tmp_path: Path, clip: MakeClip, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "SHOW_SECONDS", 0.0)  # at every event: whole runs are shorter than half a second
    lines = [{"video": clip(tmp_path / f"{n}.mp4", n).name, "prompts": [CLICK]} for n in range(4)]
    corpus, out, stop = write_corpus(tmp_path / "c.jsonl", lines), tmp_path / "out", threading.Event()

    def stop_in_the_middle(report: RunReport) -> None:
        if report.new_frames:
            stop.set()

    first = run(corpus, out, config, show=stop_in_the_middle, stop=stop)
    assert first.stopped > 0
    assert first.exit_code is ExitCode.INTERRUPTED
    second = run(corpus, out, config)
    assert second.exit_code is ExitCode.DONE
    assert second.done + second.already == 4
    assert first.frames + second.frames == sum(LENGTHS)  # nothing was tracked twice


def test_a_run_stopped_while_it_prepares_leaves_everything_to_the_next(tmp_path: Path, clip: MakeClip, config: Config) -> None:
    lines = [{"video": clip(tmp_path / f"{n}.mp4", n).name, "prompts": [CLICK]} for n in range(3)]
    stop = threading.Event()
    stop.set()
    result = run(write_corpus(tmp_path / "c.jsonl", lines), tmp_path / "out", config, stop=stop)
    assert (result.stopped, result.frames, result.exit_code) == (3, 0, ExitCode.INTERRUPTED)


def test_the_first_video_is_tracked_while_others_are_looked_at(
    tmp_path: Path, clip: MakeClip, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a.mp4", "b.mp4", "gone.mp4"]
    for number, name in enumerate(names[:2]):
        clip(tmp_path / name, number)
    corpus = write_corpus(tmp_path / "c.jsonl", [{"video": name, "prompts": [CLICK]} for name in names])
    first_is_done = threading.Event()
    prepare = corpus_run.prepare

    def slow(video: str, *arguments: Any) -> VideoJob:
        assert video.endswith("a.mp4") or first_is_done.wait(120)
        return prepare(video, *arguments)

    def show(report: RunReport) -> None:
        if report.counts.get("done"):
            first_is_done.set()

    monkeypatch.setattr(corpus_run, "prepare", slow)
    result = run(corpus, tmp_path / "out", config, show=show)
    assert (result.done, len(result.failed)) == (2, 1)
    assert "There is no video" in result.failed[0].reason


def test_one_video_is_cancelled_and_run_again_when_asked_again(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds in ("LOCAL_SECONDS", "SHOW_SECONDS"):
        monkeypatch.setattr(monitor, seconds, 0.0)
    frames = write_frames(tmp_path / "long", moving_square(64))
    lines = [{"video": frames.name, "prompts": [CLICK], "name": name} for name in ("one", "two")]
    corpus, out = write_corpus(tmp_path / "c.jsonl", lines), tmp_path / "out"
    asked: list[bool] = []

    def cancel_one(report: RunReport) -> None:
        if report.new_frames and not asked:
            asked.append(True)
            ask_to_cancel(Location.parse(out), ["one", "nobody"])

    first = run(corpus, out, config, show=cancel_one)
    assert (first.done, first.cancelled, first.exit_code) == (1, 1, ExitCode.INTERRUPTED)
    assert ProjectStore.open(out / "one", write=False).status().state == "cancelled"
    assert not (out / REQUESTS).exists()
    second = run(corpus, out, config)
    assert (second.done, second.already) == (1, 1)


def test_what_would_fail_every_video_fails_before_any(
    tmp_path: Path, clip: MakeClip, config: Config, tiny_settings: tuple[str, ...]
) -> None:
    clip(tmp_path / "a.mp4", 0)
    corpus = write_corpus(tmp_path / "c.jsonl", [{"video": "a.mp4", "prompts": [CLICK]}])
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        run(corpus, tmp_path / "out", load_config([*tiny_settings, "models.xmem=/nowhere.pth"]))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ProjectLockedError, match="is being written by"):
        run(corpus, tmp_path / "out", config, show=lambda report: run(corpus, tmp_path / "out", config) and None)
    run(corpus, tmp_path / "other", config)
    with pytest.raises(ProjectExistsError, match="a single video"):
        run(corpus, tmp_path / "other" / "a", config)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (FAILED, '{"video": "a.mp4", "prompts": []}\n'),
        ("run.json", '{"scripts": {"start": "node ."}}'),
        ("run.json", "not JSON"),
        (f"{REQUESTS}/letter.txt", "Dear Sir"),
    ],
)
def test_files_of_somebody_else_are_left_alone(name: str, text: str, tmp_path: Path, clip: MakeClip, config: Config) -> None:
    clip(tmp_path / "a.mp4", 0)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    corpus = write_corpus(tmp_path / "c.jsonl", [{"video": "a.mp4", "prompts": [CLICK]}])
    with pytest.raises(ProjectExistsError, match="move it, or choose another --out"):
        run(corpus, tmp_path, config)
    assert (tmp_path / name).read_text() == text


def test_what_an_earlier_run_wrote_is_replaced(tmp_path: Path, config: Config) -> None:
    corpus = write_corpus(tmp_path / "c.jsonl", [{"video": "gone.mp4", "prompts": [CLICK]}])
    for _ in range(2):
        assert run(corpus, tmp_path / "out", config).exit_code == ExitCode.SOME_FAILED
    assert list(failures(tmp_path / "out")) == ["gone.mp4"]


def test_one_rule_for_a_folder_and_a_project_in_memory(tmp_path: Path, clip: MakeClip, config: Config) -> None:
    import fsspec

    for number in range(3):
        clip(tmp_path / f"{number}.mp4", number)
        (tmp_path / f"{number}.png").write_bytes(Mask.from_array(square(4, 10)).png)
    memory = fsspec.filesystem("memory")
    for number in range(3):
        memory.pipe_file(f"/corpus-videos/{number}.mp4", (tmp_path / f"{number}.mp4").read_bytes())
    rule = PromptRule(labels=(f"0={tmp_path}/{{stem}}.png",))
    there = run_corpus(read_corpus("memory://corpus-videos", rule), "memory://corpus-out", config, "inline")
    here = run_corpus(read_corpus(f"{tmp_path}/*.mp4", rule), str(tmp_path / "out"), config, "inline")
    assert (there.done, here.done) == (3, 3)
    for name in "012":
        remote = tam_dist.Project.open(f"memory://corpus-out/{name}")
        assert remote.location.startswith("memory://")
        assert np.array_equal(remote.labels[:], tam_dist.Project.open(tmp_path / "out" / name).labels[:])
        assert Location.parse(f"memory://corpus-out/{name}/checkpoints").children() or remote.video.frame_count < 24
    again = run_corpus(read_corpus("memory://corpus-videos", rule), "memory://corpus-out", config, "inline")
    assert (again.done, again.already) == (0, 3)

"""What a person who types the commands sees: progress, results, and one sentence where something is wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import tam_dist
from storage import location
from tests.tam_dist.cli.conftest import Command, Ran
from tests.tiny import moving_square, square, write_frames

Settings = tuple[str, ...]
CLICK = ("--click", "cat@0:10,14")


def write_mp4(path: Path, frames: int = 24, *, audio_only: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        if audio_only:
            sound = container.add_stream("aac", rate=44100)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate = 44100
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
            return path
        stream = container.add_stream("libx264", rate=25, options={"g": "8"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture in moving_square(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def assert_one_sentence(ran: Ran, code: int, *words: str) -> None:
    assert ran.code == code, ran.err
    lines = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ran.err
    assert "Traceback" not in ran.err
    for word in words:
        assert word in lines[0], lines[0]


# --- what works --------------------------------------------------------------------------------------------------------


def test_track_prints_where_the_results_are(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    ran = tam_dist_command(
        "track", tiny_video, *CLICK, "-o", tmp_path / "p", "--executor", "inline", "--overlay", *tiny_settings
    )
    assert ran.code == 0, ran.err
    assert "44 frames, 1 object," in ran.out
    assert str(tmp_path / "p") in ran.out
    with av.open(str(tmp_path / "p" / "overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 44
    assert Image.open(tmp_path / "p" / "sheet.png").width > 300


def test_json_is_one_line_that_a_program_can_read(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    ran = tam_dist_command("track", tiny_video, *CLICK, "-o", tmp_path / "p", "--executor", "inline", "--json", *tiny_settings)
    assert len(ran.out.splitlines()) == 1
    assert ran.json["project"] == str(tmp_path / "p")
    assert ran.json["frames"] == 44
    assert ran.json["objects"] == ["cat"]
    assert ran.json["fps"] > 0
    assert ran.json["seconds"] > 0


def test_interrupted_once_it_saves_and_says_how_to_go_on(
    tam_dist_command: Command, tiny_settings: Settings, tmp_path: Path
) -> None:
    video = write_frames(tmp_path / "video", moving_square(400))
    words = ["track", str(video), *CLICK, "-o", str(tmp_path / "p"), "--executor", "inline", *tiny_settings]
    child = subprocess.Popen(
        [sys.executable, "-c", "from tam_dist.cli import main; main()", *words], stderr=subprocess.PIPE, text=True
    )
    while not list((tmp_path / "p" / "commits").glob("*.json")) and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"tam-dist resume {tmp_path / 'p'}" in err
    done = tam_dist.Project.open(tmp_path / "p").status
    assert 0 < done.frames_done < 400
    assert tam_dist_command("resume", tmp_path / "p", "--executor", "inline", "--quiet").code == 0


def test_config_shows_presets_and_overrides(tam_dist_command: Command) -> None:
    assert "short_side: 256" in tam_dist_command("config").out
    shown = tam_dist_command("config", "models.preset=official", "propagation.mem_every=7", "--json").json
    assert (shown["propagation"]["short_side"], shown["propagation"]["mem_every"]) == (480, 7)


def test_doctor_names_what_is_missing(tam_dist_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from tam_dist.models import checkpoints

    monkeypatch.setitem(checkpoints.EMBEDDED, "sam", Path("/nowhere/sam.safetensors"))
    ran = tam_dist_command("doctor")
    assert ran.code == 5
    assert "torch" in ran.out
    assert "MISSING" in ran.out.split("sam weights")[1]


# --- what is wrong with the video --------------------------------------------------------------------------------------


def broken_video(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    match kind:
        case "empty":
            path.touch()
        case "text":
            path.write_text("this is a shopping list, not a film\n" * 50)
        case "audio":
            write_mp4(path, audio_only=True)
        case "without_index":
            write_mp4(path)
            data = path.read_bytes()
            path.write_bytes(data[: data.index(b"moov") - 4])
        case "zero_frames":
            with av.open(str(path), "w") as container:
                stream = container.add_stream("libx264", rate=25)
                stream.height, stream.width = 48, 64
        case "empty_folder":
            path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "audio", "without_index", "zero_frames", "empty_folder"])
def test_a_broken_video_is_named(kind: str, tam_dist_command: Command, tiny_settings: Settings, tmp_path: Path) -> None:
    video = broken_video(kind, tmp_path)
    ran = tam_dist_command("track", video, *CLICK, "-o", tmp_path / "p", "--executor", "inline", *tiny_settings)
    assert_one_sentence(ran, 1, video.name)
    assert not (tmp_path / "p").exists()


def test_a_video_cut_off_in_the_middle_is_tracked_as_far_as_it_goes(
    tam_dist_command: Command, tiny_settings: Settings, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.mkv"
    with av.open(str(whole), "w", options={"cluster_size_limit": "2000"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "8", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture in moving_square(120):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    cut = tmp_path / "cut.mkv"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    ran = tam_dist_command("track", cut, *CLICK, "-o", tmp_path / "p", "--executor", "inline", *tiny_settings)
    assert ran.code == 0, ran.err
    project = tam_dist.Project.open(tmp_path / "p")
    assert 20 < project.video.frame_count < 120
    assert project.status.frames_done == project.video.frame_count
    assert "is cut off" in ran.err
    assert str(project.video.frame_count) in ran.err


# --- what is wrong with the prompts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--click", "cat@0:64,10"], "64,10"),
        (["--click", "cat@44:1,1"], "44"),
        (["--click", "cat@0:5"], "cat@0:5"),
        (["--box", "cat@0:9,9,4,20"], "box"),
        (["--click", "cat@0:9,9,-"], "cat"),
        ([], "--click"),
        (["--absent", "cat@3..900", "--click", "cat@0:9,9"], "900"),
    ],
)
def test_prompts_that_do_not_fit_are_named(
    words: list[str], named: str, tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    ran = tam_dist_command("track", tiny_video, *words, "-o", tmp_path / "p", "--executor", "inline", *tiny_settings)
    assert_one_sentence(ran, 2, named)
    assert not (tmp_path / "p").exists()


def test_a_wrong_field_of_a_prompt_file_is_named(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.json"
    file.write_text(
        json.dumps([{"object": "cat", "frame": 0, "clicks": [[1, 1, 1]]}, {"object": "dog", "frmae": 3, "box": [1, 1, 9, 9]}])
    )
    ran = tam_dist_command("track", tiny_video, "--prompts", file, "-o", tmp_path / "p", *tiny_settings)
    assert_one_sentence(ran, 2, "prompts.json", "frmae")


def test_a_mask_of_the_wrong_size_is_named(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    Image.fromarray(np.ones((10, 10), np.uint8)).save(tmp_path / "small.png")
    ran = tam_dist_command("track", tiny_video, "--labels", f"0={tmp_path}/small.png", "-o", tmp_path / "p", *tiny_settings)
    assert_one_sentence(ran, 2, "10x10", "64x48")


def test_two_objects_with_one_name_are_refused(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    Image.fromarray(square(4, 4).astype(np.uint8)).save(tmp_path / "first.png")
    words = ["--labels", f"0={tmp_path}/first.png", "--click", "object-1@0:5,5"]
    ran = tam_dist_command("track", tiny_video, *words, "-o", tmp_path / "p", *tiny_settings)
    assert_one_sentence(ran, 2, "object-1")


def test_masks_that_are_empty_from_the_start_are_told(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        Image.fromarray(square(4, 4).astype(np.uint8)).save(tmp_path / f"{name}.png")
    prompts = [{"object": name, "frame": 0, "mask": f"{name}.png"} for name in ("first", "second")]
    prompts[1:1] = [{"object": "first", "frame": 9, "box": [1, 1, 9, 9]}]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    words = ["track", tiny_video, "--prompts", tmp_path / "prompts.json", "-o", tmp_path / "p", "--executor", "inline"]
    ran = tam_dist_command(*words, "--json", *tiny_settings)
    (warning,) = ran.json["warnings"]
    assert warning == "'first' has no pixel on frame 0, where it was shown: look at its prompt"
    assert f"warning: {warning}" in ran.err
    labels = ("--labels", f"0={tmp_path}/first.png", "-o", tmp_path / "q", "--executor", "inline")
    clear = tam_dist_command("track", tiny_video, *labels, *tiny_settings)
    assert "warning" not in clear.err


# --- what is wrong with the project, the machine, the settings ------------------------------------------------------------


def test_an_existing_project_with_other_prompts_is_left_alone(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    words = ["track", tiny_video, "-o", tmp_path / "p", "--executor", "inline", *tiny_settings]
    assert tam_dist_command(*words, *CLICK).code == 0
    ran = tam_dist_command(*words, "--click", "dog@0:30,30")
    assert_one_sentence(ran, 2, "other prompts", "--force")
    assert tam_dist.Project.open(tmp_path / "p").status.frames_done == 44
    assert tam_dist_command(*words, *CLICK).code == 0


def test_the_folder_of_a_run_is_no_place_for_a_project(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    report = {"schema_version": 1, "started": 1, "updated": 2, "conditions": {}, "videos": []}
    (tmp_path / "run.json").write_text(json.dumps(report))
    ran = tam_dist_command("track", tiny_video, *CLICK, "-o", tmp_path, *tiny_settings)
    assert_one_sentence(ran, 2, str(tmp_path), "is the folder of a run")
    (tmp_path / "run.json").write_text("my jogging times")
    ran = tam_dist_command("track", tiny_video, *CLICK, "-o", tmp_path, *tiny_settings)
    assert_one_sentence(ran, 2, "run.json", "was not written by tam-dist")
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_video_has_its_project_in_a_folder_of_its_name(
    tam_dist_command: Command, tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = write_frames(tmp_path / "frames", moving_square(8))
    monkeypatch.chdir(frames)
    ran = tam_dist_command("track", ".", *CLICK, "--executor", "inline", *tiny_settings)
    assert ran.code == 0, ran.err
    assert (frames / "runs" / "frames" / "project.json").exists()


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, ("full",)), (errno.EROFS, ("read-only",)), (errno.EACCES, ("permi",))]
)
def test_a_disk_that_cannot_be_written_is_named_and_loses_nothing(
    number: int,
    words: tuple[str, ...],
    tam_dist_command: Command,
    tiny_video: Path,
    tiny_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, writes = location.replace_file, [0]

    def failing(path: Path, data: bytes | memoryview) -> None:
        if "commits" in str(path):
            writes[0] += 1
            if writes[0] == 3:
                raise OSError(number, os.strerror(number), str(path))
        real(path, data)

    monkeypatch.setattr(location, "replace_file", failing)
    command = ["track", tiny_video, *CLICK, "-o", tmp_path / "p", "--executor", "inline", *tiny_settings]
    ran = tam_dist_command(*command)
    assert_one_sentence(ran, 5, *words)
    monkeypatch.setattr(location, "replace_file", real)
    assert tam_dist.Project.open(tmp_path / "p").status.frames_done in (16, 24)  # a write that was under way may still succeed
    assert tam_dist_command(*command).code == 0


def test_a_corrupted_weight_file_is_named(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    good = Path(tiny_settings[0].partition("=")[2])
    bad = tmp_path / "cut.safetensors"
    bad.write_bytes(good.read_bytes()[:5000])
    ran = tam_dist_command(
        "track", tiny_video, *CLICK, "-o", tmp_path / "p", "--executor", "inline", *tiny_settings, f"models.xmem={bad}"
    )
    assert_one_sentence(ran, 1, "cut.safetensors")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("propagation.mem_evry=3", ("propagation.mem_evry", "did you mean propagation.mem_every")),
        ("propagation.mem_every=often", ("propagation.mem_every",)),
        ("tracking.chunk_size=0", ("tracking.chunk_size",)),
        ("models.preset=huge", ("huge", "embedded", "official")),
        ("models.xmem=XMem-s013", ("XMem-s013",)),
        ("models.preset=official", ("tam-dist weights pull official",)),
        ("nonsense", ("nonsense",)),
    ],
)
def test_a_wrong_setting_is_named_with_the_nearest(
    setting: str,
    words: tuple[str, ...],
    tam_dist_command: Command,
    tiny_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAM_DIST_WEIGHTS", str(tmp_path / "none"))
    ran = tam_dist_command("track", tiny_video, *CLICK, "-o", tmp_path / "p", "--executor", "inline", setting)
    assert_one_sentence(ran, {"models.xmem=XMem-s013": 1, "models.preset=official": 5}.get(setting, 2), *words)


def test_no_project_and_wrong_options_are_said(tam_dist_command: Command, tmp_path: Path) -> None:
    assert_one_sentence(tam_dist_command("resume", tmp_path / "nothing"), 1, "nothing")
    assert tam_dist_command("track", "a.mp4", "--clck", "x").code == 2
    assert tam_dist_command("no-such-command").code == 2


def test_debug_shows_where_an_error_came_from(tam_dist_command: Command, tmp_path: Path) -> None:
    ran = tam_dist_command("resume", tmp_path / "nothing", "--debug")
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("error: ")


def test_an_executor_must_be_one_of_those_there_are(
    tam_dist_command: Command, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    ran = tam_dist_command("track", tiny_video, *CLICK, "-o", tmp_path / "p", "--executor", "spark", *tiny_settings)
    assert_one_sentence(ran, 2, "spark", "inline", "ray")

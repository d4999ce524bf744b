"""From prompts to a finished project in one process: what a user of the Python interface gets, and what a killed run leaves."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.location import Location
from storage.project_store import ProjectStore
from tam_dist.coordination.events import ChunkCommitted, Event
from tam_dist.due import due_work
from tam_dist.errors import (
    ProjectExistsError,
    ProjectLockedError,
    PromptError,
    RunInterruptedError,
    TamDistError,
    VideoError,
    WeightsError,
)
from tam_dist.monitoring.requests import ask_to_refresh
from tam_dist.types import Origin, Prompt
from tests.tiny import square

Settings = tuple[str, ...]


def prompts() -> list[Prompt]:
    """Masks and clicks, at the start, in the middle of a chunk, and an absence."""
    return [
        tam_dist.mask("cat", square(8, 10), frame=2),
        tam_dist.click("dog", 40, 30, frame=11),
        tam_dist.click("cat", 30, 14, frame=20),
        tam_dist.absent("dog", 25, 28),
    ]


@pytest.fixture(scope="module")
def undisturbed(tiny_video: Path, tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tam_dist.Project:
    return tam_dist.track(tiny_video, prompts(), out=tmp_path_factory.mktemp("run") / "whole", settings=tiny_settings)


def test_a_project_holds_masks_quality_origins_and_prompts(undisturbed: tam_dist.Project) -> None:
    assert [o.name for o in undisturbed.objects] == ["cat", "dog"]
    assert undisturbed.labels.shape == (44, 48, 64)
    assert np.array_equal(undisturbed.masks["cat"][2], square(8, 10))
    assert undisturbed.masks["dog"][25:29].sum() == 0
    assert len(undisturbed.masks["dog"]) == 44
    origin = np.asarray(undisturbed.origin[:])
    assert (origin[:2] == Origin.UNTRACKED).all()
    assert origin[11, 1] == Origin.PROMPTED
    assert (origin[25:29, 1] == Origin.ABSENT).all()
    assert undisturbed.status.state == "done"
    assert undisturbed.status.frames_done == 44
    assert [p.object_name for p in undisturbed.prompts] == ["cat", "dog", "cat", "dog"]


def test_an_unknown_object_is_named_with_the_nearest_one(undisturbed: tam_dist.Project) -> None:
    with pytest.raises(PromptError, match="did you mean 'dog'"):
        undisturbed.masks["dgo"]
    assert "dgo" not in undisturbed.masks


def test_tracking_twice_repeats_nothing(tiny_video: Path, tiny_settings: Settings, undisturbed: tam_dist.Project) -> None:
    before = {p: p.stat().st_mtime_ns for p in Path(undisturbed.location).rglob("*/*") if p.suffix != ".lock"}
    events: list[Event] = []
    tam_dist.track(tiny_video, prompts(), out=undisturbed.location, settings=tiny_settings, listener=events.append)
    assert not [e for e in events if isinstance(e, ChunkCommitted)]
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": [tam_dist.click("cat", 1, 1)]}, "with other prompts"),
        ({"settings": ["propagation.mem_every=4"]}, r"another propagation.mem_every \(3, now 4\)"),
    ],
)
def test_a_project_about_something_else_is_left_alone(
    change: dict, message: str, tiny_video: Path, tiny_settings: Settings, undisturbed: tam_dist.Project
) -> None:
    settings = [*tiny_settings, *change.get("settings", [])]
    with pytest.raises(ProjectExistsError, match=message):
        tam_dist.track(tiny_video, change.get("prompts", prompts()), out=undisturbed.location, settings=settings)
    assert undisturbed.status.frames_done == 44


def test_force_starts_anew(tiny_video: Path, tiny_settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "p"
    tam_dist.track(tiny_video, [tam_dist.mask("cat", square(8, 10))], out=out, settings=tiny_settings)
    (out / "overlay.mp4").write_text("a user's own file")
    again = tam_dist.track(tiny_video, [tam_dist.mask("dog", square(20, 10))], out=out, settings=tiny_settings, force=True)
    assert [o.name for o in again.objects] == ["dog"]
    assert (out / "overlay.mp4").exists()


def test_a_stopped_run_resumes_with_the_same_masks(
    tiny_video: Path, tiny_settings: Settings, tmp_path: Path, undisturbed: tam_dist.Project
) -> None:
    stop = threading.Event()

    def stop_at_second(event: Event) -> None:
        if isinstance(event, ChunkCommitted) and event.chunk == 1:
            stop.set()

    out = tmp_path / "p"
    with pytest.raises(RunInterruptedError, match=f"tam-dist resume {out}"):
        tam_dist.track(tiny_video, prompts(), out=out, settings=tiny_settings, listener=stop_at_second, stop=stop)
    half = tam_dist.Project.open(out).status
    assert 16 <= half.frames_done < 44
    assert half.state == "interrupted"
    events: list[Event] = []
    whole = tam_dist.resume(out, listener=events.append)
    assert np.array_equal(whole.labels[:], undisturbed.labels[:])
    first = next(e for e in events if isinstance(e, ChunkCommitted))
    assert first.chunk * 8 == half.frames_done  # the stopped run saved its state: nothing is tracked twice


@pytest.mark.parametrize("at", [0, 5])
def test_a_correction_while_it_runs_is_in_the_masks_at_its_end(
    at: int, tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    """Also where it comes when the last chunk is stored."""
    out = tmp_path / "p"
    moment = iter([at])

    def correct(event: Event) -> None:
        if isinstance(event, ChunkCommitted) and event.chunk == at and next(moment, None) is not None:
            ProjectStore.open(out, write=False).append_prompt(tam_dist.mask("cat", square(30, 20), frame=9))
            ask_to_refresh(Location.parse(out), "p")

    project = tam_dist.track(tiny_video, prompts(), out=out, settings=tiny_settings, listener=correct)
    assert np.array_equal(project.masks["cat"][9], square(30, 20))
    assert not due_work(ProjectStore.open(out, write=False)).stale
    assert not (out / "requests").exists()


def test_a_project_being_written_is_refused_to_others(tiny_video: Path, tiny_settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "p"
    refused: list[TamDistError] = []

    def try_again(event: Event) -> None:
        if isinstance(event, ChunkCommitted) and not refused:
            try:
                ProjectStore.open(out, write=True)
            except ProjectLockedError as error:
                refused.append(error)

    tam_dist.track(tiny_video, prompts(), out=out, settings=tiny_settings, listener=try_again)
    assert "is being written by" in str(refused[0])


def test_bad_input_is_named_before_anything_is_made(tiny_video: Path, tiny_settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "p"
    with pytest.raises(VideoError, match=r"missing\.mp4"):
        tam_dist.track(tmp_path / "missing.mp4", prompts(), out=out, settings=tiny_settings)
    with pytest.raises(PromptError, match="outside"):
        tam_dist.track(tiny_video, [tam_dist.click("cat", 999, 1)], out=out, settings=tiny_settings)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"these are not weights")
    with pytest.raises(WeightsError, match=r"broken\.safetensors"):
        tam_dist.track(tiny_video, prompts(), out=out, settings=[*tiny_settings, f"models.xmem={broken}"])
    done = tam_dist.track(tiny_video, prompts(), out=out, settings=tiny_settings)  # no --force: nothing was there to lose
    assert done.status.state == "done"


def test_another_video_under_the_same_name_is_noticed(tiny_settings: Settings, tiny_video: Path, tmp_path: Path) -> None:
    video, out = tmp_path / "v", tmp_path / "p"
    shutil.copytree(tiny_video, video)
    tam_dist.track(video, prompts(), out=out, settings=tiny_settings)
    (video / "00043.png").unlink()
    with pytest.raises(TamDistError, match="is not the video that"):
        tam_dist.resume(out)


# --- kills -------------------------------------------------------------------------------------------------------------


def _track(video: Path, out: Path, settings: Settings, started: object) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, ChunkCommitted):
            started.set()  # type: ignore[attr-defined]

    tam_dist.track(video, prompts(), out=out, settings=settings, listener=tell)


def test_killed_at_random_moments_a_run_resumes_with_the_same_masks(
    tiny_video: Path, tiny_settings: Settings, tmp_path: Path, undisturbed: tam_dist.Project
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    rng = random.Random(5)
    out = tmp_path / "p"
    kills = 0
    for round_ in range(40):
        started = context.Event()
        child = context.Process(target=_track, args=(tiny_video, out, tiny_settings, started))
        child.start()
        if round_ % 3:  # else: at any moment, also while the project is made or the models load
            started.wait(60)
        time.sleep(rng.uniform(0, 0.8))
        if child.is_alive() and kills < 10:
            os.kill(child.pid, signal.SIGKILL)  # type: ignore[arg-type]
            kills += 1
        child.join(120)
        if child.exitcode == 0:
            if kills >= 10:
                break
            shutil.rmtree(out)  # finished too early to be killed ten times: once more
    assert kills == 10
    project = tam_dist.Project.open(out)
    assert np.array_equal(project.labels[:], undisturbed.labels[:])
    assert not list(out.rglob("*.partial*"))
    assert project.status.state == "done"

"""The pane as people meet it: Chromium before a running pane, whose jobs track for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tam_dist
from storage.project_store import ProjectStore
from storage.prompt_log import Undo
from tam_dist.review.places import place_of
from tam_dist.types import Clicks, Prompt
from tests.tam_dist.review.browser import ROOT, Server, Viewer, chromium, wait_for, write_mp4
from tests.tiny import moving_square, square

pytest.importorskip("playwright", reason="needs playwright: pip install playwright")
if not Path("/usr/bin/chromium").exists():
    pytest.skip("needs Debian's chromium: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, tiny_video: Path, tiny_settings: tuple[str, ...]) -> Path:
    """A finished project, for copying."""
    where = tmp_path_factory.mktemp("tracked") / "square"
    tam_dist.track(tiny_video, [tam_dist.mask("square", square(4, 10))], out=where, settings=tiny_settings)
    return where


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tracked: Path, tiny_video: Path) -> Iterator[Server]:
    runs = tmp_path_factory.mktemp("runs")
    shutil.copytree(tracked, runs / "first")
    server = Server([str(runs), "--videos", str(tiny_video.parent)])
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def people() -> Iterator[Callable[[str], Viewer]]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def project(server: Server, tracked: Path, request: pytest.FixtureRequest) -> Path:
    """Of this test alone."""
    where = Path(server.arguments[0]) / request.node.name.removeprefix("test_")
    shutil.copytree(tracked, where)
    return where


@pytest.fixture
def viewer(server: Server, people: Callable[[str], Viewer], project: Path) -> Iterator[Viewer]:
    """Before the project's first frame. Whatever a test does, no request may leave the machine."""
    viewer = people(server.url)
    viewer.open(identifier(project))
    yield viewer
    viewer.page.context.close()
    assert {host for host in viewer.hosts if host} <= {server.url.removeprefix("http://")}
    assert viewer.problems == []


def identifier(project: Path) -> str:
    return place_of(str(project)).id


def prompts(project: Path) -> list[Prompt]:
    return [p for p in ProjectStore.open(project, write=False).prompts() if p.undone_by is None]


def test_thirty_quick_presses_move_thirty_frames(viewer: Viewer) -> None:
    viewer.press(*["ArrowRight"] * 30)
    viewer.until("tamDist.review.shown.frame === 30")
    viewer.press("Shift+ArrowLeft", "ArrowLeft")
    viewer.until("tamDist.review.shown.frame === 19")
    viewer.press("End")
    viewer.until("tamDist.review.shown.frame === 43")
    viewer.press("Home")
    viewer.until("tamDist.review.shown.frame === 0")


def test_shift_shows_a_mask_before_any_click(viewer: Viewer) -> None:
    viewer.page.keyboard.down("Shift")
    viewer.page.mouse.move(*viewer.at(20, 20))
    viewer.until("tamDist.review.stage.hovered !== null")
    viewer.page.keyboard.up("Shift")
    viewer.page.mouse.move(*viewer.at(22, 20))
    viewer.until("tamDist.review.stage.hovered === null")


def test_a_correction_reaches_later_frames_and_is_undone_and_redone_as_a_whole(viewer: Viewer, project: Path) -> None:
    before = ProjectStore.open(project, write=False).labels[:]
    viewer.press(*["ArrowRight"] * 10)
    viewer.until("tamDist.review.shown.frame === 10")
    there = bool(before[10][18, 30])
    viewer.page.mouse.click(*viewer.at(30.5, 18.5), button="right" if there else "left")
    viewer.page.mouse.click(*viewer.at(50.5, 40.5), button="right")
    assert viewer.read("draft.marks.get('square').points.length") == 2
    viewer.page.reload()  # what is drawn outlives it
    viewer.until("tamDist?.review?.draft?.marks.get('square').points.length === 2")
    viewer.press("Enter")
    viewer.until("tamDist.review.draft === null")
    last = prompts(project)[-1]
    assert isinstance(last.data, Clicks)
    assert (last.frame, last.purpose) == (10, "correction")
    assert [p.positive for p in last.data.points] == [not there, False]
    for point, (x, y) in zip(last.data.points, [(30.5, 18.5), (50.5, 40.5)], strict=True):
        assert max(abs(point.x - x), abs(point.y - y)) <= 1
    viewer.until("tamDist.review.shown.revision === 2")
    viewer.until(
        "tamDist.review.view?.live === false && tamDist.review.view?.job === '' && tamDist.review.view?.stale.length === 0"
    )
    after = ProjectStore.open(project, write=False).labels[:]
    assert (after[:8] == before[:8]).all()
    assert (after[10] != before[10]).any()
    viewer.press("z")
    viewer.until("tamDist.review.shown.revision === 3")
    viewer.until(
        "tamDist.review.view?.live === false && tamDist.review.view?.job === '' && tamDist.review.view?.stale.length === 0"
    )
    assert (ProjectStore.open(project, write=False).labels[:] == before).all()
    viewer.press("Shift+Z")
    viewer.until("tamDist.review.shown.revision === 4")
    assert len(prompts(project)) == (3 if before[10].any() else 2)  # what clicks change comes before them


def test_a_lock_is_seen_and_taken_back(viewer: Viewer, project: Path) -> None:
    viewer.press("End")
    viewer.until("tamDist.review.shown.frame === 43")
    viewer.press("l")
    viewer.until("tamDist.review.locked")
    assert [p.purpose for p in prompts(project) if p.frame == 43] == ["lock"]
    viewer.press("l")
    viewer.until("!tamDist.review.locked")
    entries = ProjectStore.open(project, write=False).entries()
    assert isinstance(entries[-1], Undo)


def test_two_people_are_led_to_different_frames(viewer: Viewer, people: Callable[[str], Viewer], project: Path) -> None:
    other = people(viewer.url)
    other.open(identifier(project))
    for each in (viewer, other):
        each.page.evaluate("tamDist.many = false")
        each.page.evaluate("tamDist.review.pollQueue()")
        each.until("tamDist.review.spots.length > 0")
    gains = viewer.read("spots.map((s) => s.gain)")
    assert gains == sorted(gains, reverse=True)
    viewer.press("j")
    viewer.until("tamDist.review.spot !== null")
    other.press("j")
    other.until("tamDist.review.spot !== null")
    mine, theirs = viewer.read("spot"), other.read("spot")
    assert mine["frame"] == viewer.read("shown.frame")
    assert abs(mine["frame"] - theirs["frame"]) >= 8
    other.page.context.close()


def test_a_click_on_a_mask_that_has_changed_is_refused(viewer: Viewer, project: Path) -> None:
    viewer.page.evaluate("tamDist.review.shown.revision = 7")
    viewer.page.mouse.click(*viewer.at(20, 20))
    viewer.press("Enter")
    viewer.page.wait_for_selector(".td-error")
    assert "look again" in viewer.page.inner_text(".td-error")
    assert len(prompts(project)) == 1
    viewer.until("tamDist.review.draft.revision === 1")
    viewer.press("Enter")  # having looked
    viewer.until("tamDist.review.draft === null")
    assert len(prompts(project)) == 2


def test_the_pane_dies_and_comes_back(viewer: Viewer, server: Server, project: Path) -> None:
    viewer.page.mouse.click(*viewer.at(20, 20))
    server.kill()
    viewer.press("Enter")
    viewer.page.wait_for_selector(".td-error")
    viewer.page.wait_for_selector(".td-offline:not([hidden])")
    assert len(prompts(project)) == 1
    server.start()
    viewer.page.wait_for_selector(".td-offline", state="hidden", timeout=60_000)
    assert viewer.read("draft.marks.get('square').points.length") == 1
    viewer.press("c")  # in the place of the mask that it was tracked from
    viewer.until("tamDist.review.draft.replace")
    viewer.press("Enter")
    viewer.until("tamDist.review.draft === null")
    assert [p.data.kind for p in prompts(project)] == ["clicks"]


def test_a_new_video_goes_from_the_first_click_to_a_running_job(viewer: Viewer, server: Server) -> None:
    viewer.page.click("text=New video")
    viewer.page.click("#td-new input")
    viewer.page.click("#td-new ul li >> nth=0")
    viewer.page.wait_for_function("() => document.querySelectorAll('#td-new textarea, #td-new input')[1].value !== ''")
    viewer.page.click("#td-new button:has-text('Open')")
    viewer.until("tamDist.review.view?.draft && tamDist.review.shown.frame === 0")
    viewer.page.mouse.click(*viewer.at(10, 18))
    viewer.page.fill("dialog input", "block")
    viewer.press("Enter")
    viewer.until("tamDist.review.draft?.marks.get('block').points.length === 1")
    viewer.press("Enter")
    viewer.until("tamDist.review.view?.draft === false")
    assert [p.object_name for p in prompts(Path(server.arguments[0]) / "square")] == ["block"]
    viewer.until("tamDist.review.view?.live || tamDist.review.view?.job || tamDist.review.view?.frames_done > 0")


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_running_job_takes_a_correction_in(
    server: Server, people: Callable[[str], Viewer], tmp_path: Path, tiny_settings: tuple[str, ...], executor: str
) -> None:
    video = write_mp4(tmp_path / "long.mp4", moving_square(6000))
    mask = tmp_path / "mask.png"
    Image.fromarray(square(4, 10).astype(np.uint8)).save(mask)
    where = Path(server.arguments[0]) / f"running_{executor}"
    command = [sys.executable, "-m", "tam_dist.cli", "track", str(video), "--labels", f"0={mask}", "--out", str(where)]
    job = subprocess.Popen([*command, "--quiet", "--executor", executor, *tiny_settings], cwd=ROOT)
    viewer = people(server.url)
    try:
        wait_for(lambda: len(list(where.glob("commits/*.json"))) > 4 or job.poll() is not None)
        viewer.open(identifier(where), 10)
        assert viewer.read("view.state") == "tracking"
        there = bool(ProjectStore.open(where, write=False).labels[10][18, 30])
        viewer.page.mouse.click(*viewer.at(30, 18), button="right" if there else "left")
        viewer.press("Enter")
        viewer.page.wait_for_selector("text=the running job takes it in")
        viewer.until("tamDist.review.shown.revision >= 2")
        viewer.page.click("[aria-label='Pause tracking']")
        assert job.wait(120) is not None
        viewer.until("tamDist.review.view.state === 'cancelled'")
    finally:
        viewer.page.context.close()
        job.kill()
        job.wait()

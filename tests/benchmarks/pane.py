"""How quickly the review pane answers, on this machine: ``python -m tests.benchmarks.pane``. Needs Chromium and playwright.

Times are measured in the page, from the event to the picture that shows it; median and 95 % of ``--steps``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
from fastapi.testclient import TestClient

from tam_dist.review.app import build_app
from tam_dist.review.places import place_of
from tam_dist.review.serving import make_pane
from tam_dist.types import LabelArray, UInt8Array, VideoInfo
from tests.finished import finished_project, shapes, store_chunks
from tests.tam_dist.review.browser import Server, Viewer, chromium

WIDTH, HEIGHT, FRAMES = 854, 480, 600
FILM = 170_000

#: Runs ``act`` n times, one after the other, each until ``done`` holds; milliseconds of each.
MEASURE = """async ([n, act, done]) => {
  const review = tamDist.review, times = [];
  const run = new Function('review', 'i', act), is = new Function('review', 'i', 'begun', `return ${done}`);
  for (let i = 0; i < n; i++) {
    const begun = performance.now();
    run(review, i);
    while (!is(review, i, begun)) await new Promise((next) => setTimeout(next, 1));
    times.push(performance.now() - begun);
    await new Promise((next) => setTimeout(next, 60));
  }
  return times;
}"""
KEY = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true}))"
#: An event of the pointer over pixel (x, y) of the video.
POINTER = """const s = review.stage, b = s.canvas.getBoundingClientRect(), r = devicePixelRatio;
const x = 300 + (i * 37) % 250, y = 150 + (i * 23) % 150;
s.canvas.setPointerCapture = () => {};
const place = {clientX: b.left + (s.view.x + x * s.view.scale) / r, clientY: b.top + (s.view.y + y * s.view.scale) / r};
const send = (what, shiftKey) => s.canvas.dispatchEvent(new PointerEvent(what, {...place, shiftKey, button: 0, pointerId: 1}));
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument(
        "--day", action="store_true", help="the polls of a day instead: of a page in the background, without a browser"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        video = write_video(Path(folder) / "video.mp4")
        finished_project(runs / "clip", video, labels(), ["left", "right"])
        if arguments.day:
            day(runs)
            return
        write_film(runs / "film")
        server = Server([str(runs)])
        server.start()
        try:
            with chromium() as opened:
                measure(opened(server.url), server, runs, arguments.steps)
        finally:
            server.kill()


def measure(viewer: Viewer, server: Server, runs: Path, steps: int) -> None:
    def times(act: str, done: str, count: int = steps) -> list[float]:
        return list(viewer.page.evaluate(MEASURE, [count, act, done]))

    viewer.open(place_of(str(runs / "clip")).id)
    viewer.page.wait_for_timeout(2000)
    moved = "review.shown.frame === review.target && review.paintedAt > begun"
    show("frame step, in order", times(KEY % "ArrowRight", moved))
    jump = "review.go((i * 7919 + 13) % review.view.frames)"
    show("frame step, anywhere (decoded for it)", times(jump, moved))
    quick = f"review.goal = review.target + 30; for (let k = 0; k < 30; k++) {KEY % 'ArrowRight'}"
    viewer.press("Home")
    show("30 quick presses, until the 30th frame is shown", times(quick, "review.shown.frame === review.goal", 10))
    click = POINTER + "send('pointerdown', false); send('pointerup', false);"
    viewer.page.evaluate("tamDist.review.askSam = () => {}")  # model time apart
    show("click, until its point is drawn", times(click, "review.paintedAt > begun"))
    viewer.press("Escape")
    viewer.page.evaluate("delete tamDist.review.askSam")
    hover = POINTER + "review.hoveredAt = 0; review.models ??= []; send('pointermove', true);"
    drawn = "review.hoveredAt > begun && review.paintedAt > review.hoveredAt"
    shown = f"({drawn} && review.models.push(review.previewTook))"
    times(hover, shown, 1)  # the embedding
    viewer.page.evaluate("tamDist.review.models = []")
    whole = times(hover, shown)
    models = viewer.read("models")
    show("mask under the pointer, from a kept embedding", whole)
    show("  of which SAM and its run lengths", models)
    show("  of which the pane", [a - b for a, b in zip(whole, models, strict=True)])
    memory(viewer, server)
    viewer.page.goto(f"{viewer.url}/#p={place_of(str(runs / 'film')).id}&f=0")
    viewer.until(f"tamDist?.review?.view?.frames === {FILM} && tamDist.review.timeline.data !== null")
    viewer.page.wait_for_timeout(3000)
    zoom = "review.timeline.place(i % 2 ? 0 : 1000, i % 2 ? review.view.frames : 50000); review.asked = begun"
    show(f"timeline of {FILM:,} frames", times(zoom, "!review.timeline.asking && review.timeline.painted > begun", 20))


def memory(viewer: Viewer, server: Server) -> None:
    """Of the pane's process over 2,000 steps and 1,000 polls."""
    assert server._process is not None
    process = psutil.Process(server._process.pid)
    step = "review.go(i % review.view.frames)"
    fast = MEASURE.replace("60)", "0)")
    reached = "review.shown.frame === review.target"
    viewer.page.evaluate(fast, [700, step, reached])
    before = process.memory_info().rss
    viewer.page.evaluate(fast, [2000, step, reached])
    poll = "review.polled = 0; review.poll().then(() => { review.polled = 1; })"
    viewer.page.evaluate(fast, [1000, poll, "review.polled"])
    after = process.memory_info().rss
    print(f"memory of the pane: {before >> 20} MB after 700 frame steps, {after >> 20} MB after 2,000 more and 1,000 polls")


def day(runs: Path) -> None:
    """A poll each 3.5 s, as where nobody looks, with the queue at every fifth; each hour the page is another one."""
    process, polls = psutil.Process(), round(86_400 / 3.5)
    pane = make_pane(str(runs))
    (place,) = pane.places.projects()
    with TestClient(build_app(pane, page=False), base_url="http://localhost") as client:
        for poll in range(polls):
            client.get(f"/api/p/{place.id}?since=0")
            if poll % 5 == 4:
                client.get(f"/api/queue?page={poll * 24 // polls}")
            if poll in (polls // 24, polls // 2, polls - 1):
                hour = 24 * (poll + 1) / polls
                print(
                    f"memory of the pane and who asks it after {hour:.0f} hours: {process.memory_info().rss >> 20} MB",
                    flush=True,
                )
    pane.close()


def show(what: str, milliseconds: list[float]) -> None:
    worst = sorted(milliseconds)[min(len(milliseconds) - 1, round(0.95 * len(milliseconds)))]
    print(f"{what:<52} {statistics.median(milliseconds):6.0f} ms  {worst:6.0f} ms", flush=True)


def write_video(path: Path) -> Path:
    """H.264 of a moving texture."""
    ground = np.random.default_rng(1).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    ground = ground.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in range(FRAMES):
            picture: UInt8Array = np.roll(np.pad(ground, ((0, HEIGHT % 8), (0, WIDTH - ground.shape[1]), (0, 0))), 3 * frame, 1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture[:HEIGHT, :WIDTH], format="rgb24")))
        out.mux(stream.encode())
    return path


def labels() -> LabelArray:
    return shapes(FRAMES, HEIGHT, WIDTH, 2)


def write_film(where: Path) -> None:
    """Two hours of masks; its pictures are nowhere, which the timeline has no need of."""
    size = 1024
    info = VideoInfo("/nowhere.mp4", FILM, 16, 16, Fraction(24), Fraction(1, 24), 0, "f" * 16, "pyav")
    counts = [min(size, FILM - start) for start in range(0, FILM, size)]
    chunks: Iterator[LabelArray] = (np.zeros((count, 16, 16), np.uint8) for count in counts)
    store_chunks(where, info, np.arange(FILM, dtype=np.int64), chunks, ["hero", "villain", "horse"], size)


if __name__ == "__main__":
    main()

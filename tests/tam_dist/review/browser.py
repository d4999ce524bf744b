"""A pane in a process of its own and a browser before it."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from tam_dist.types import UInt8Array

ROOT = Path(__file__).resolve().parents[3]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Milliseconds that a page may take for anything on a busy machine.
PATIENCE = 120_000


@dataclass
class Server:
    """``tam-dist review`` on a folder. It may be killed and started again under the same address."""

    arguments: list[str]
    url: str = ""
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "tam_dist.cli", "review", *self.arguments, "--port", port]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self._process, said), daemon=True).start()
        found = re.search(r"http://\S+", said.get(timeout=PATIENCE / 1000))
        assert found is not None
        self.url = found[0]

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)

    @staticmethod
    def _listen(process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            if "http://" in line or "error" in line:
                said.put(line)


@dataclass
class Viewer:
    """A browser's page, in the words of somebody who sits before it."""

    page: Any
    url: str
    hosts: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def open(self, project: str, frame: int = 0) -> None:
        self.page.goto(f"{self.url}/#p={project}&f={frame}")
        self.until(f"tamDist?.review?.shown.frame === {frame}")

    def until(self, condition: str) -> None:
        self.page.wait_for_function(f"() => {{ const tamDist = window.tamDist; return {condition}; }}", timeout=PATIENCE)

    def read(self, expression: str) -> Any:
        return self.page.evaluate(f"tamDist.review.{expression}")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the video is on the screen."""
        return tuple(
            self.page.evaluate(
                """([x, y]) => { const s = tamDist.review.stage, b = s.canvas.getBoundingClientRect(), r = devicePixelRatio;
                return [b.left + (s.view.x + x * s.view.scale) / r, b.top + (s.view.y + y * s.view.scale) / r]; }""",
                [x, y],
            )
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@contextmanager
def chromium() -> Iterator[Callable[[str], Viewer]]:
    """Opens pages, each that of another person. Raises what playwright raises where there is no browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))

        def opened(url: str, **context: Any) -> Viewer:
            page = browser.new_context(viewport={"width": 1280, "height": 720}, **context).new_page()
            viewer = Viewer(page, url)
            page.on("request", lambda request: viewer.hosts.add(request.url.partition("://")[2].partition("/")[0]))
            page.on("pageerror", lambda error: viewer.problems.append(str(error)))
            return viewer

        yield opened
        browser.close()


def write_mp4(path: Path, video: UInt8Array, *, keyframes: int = 50) -> Path:
    """``video``: uint8 (T, H, W, 3), as H.264."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": str(keyframes)})
        stream.height, stream.width, stream.pix_fmt = video.shape[1], video.shape[2], "yuv420p"
        for picture in video:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE / 1000) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)

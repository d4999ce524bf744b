"""The Python interface: track a video, continue a project.

>>> from tam_dist import click, track                       # doctest: +SKIP
>>> project = track("cat.mp4", [click("cat", 320, 240)], out="runs/cat")  # doctest: +SKIP
>>> project.masks["cat"][100:200].mean()                    # doctest: +SKIP
0.07
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from tam_dist.config import Config, load_config
from tam_dist.coordination.events import Listener, all_of
from tam_dist.coordination.feed import JobFeed
from tam_dist.coordination.video import VideoJob
from tam_dist.errors import ConfigError
from tam_dist.monitoring.monitor import watch_project
from tam_dist.preparation import continue_project, prepare, settle
from tam_dist.project import Project
from tam_dist.prompts import in_given_order, new_prompt
from tam_dist.running import AskRequests, Outcome, run_inline
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt

ExecutorName = Literal["inline", "ray"]


def click(name: str, x: float, y: float, *, frame: int = 0, positive: bool = True) -> Prompt:
    """A click on object ``name`` (or beside it, where not ``positive``), in pixels of the source."""
    return new_prompt(frame, name, Clicks((Click(x, y, positive),)))


def box(name: str, x0: float, y0: float, x1: float, y1: float, *, frame: int = 0) -> Prompt:
    """A box around object ``name``, in pixels of the source."""
    return new_prompt(frame, name, Box(x0, y0, x1, y1))


def mask(name: str, pixels: NDArray[np.bool_], *, frame: int = 0) -> Prompt:
    """The whole mask of object ``name``: bool (H, W) of the source's size."""
    return new_prompt(frame, name, Mask.from_array(pixels))


def absent(name: str, first: int, last: int) -> Prompt:
    """Object ``name`` is not in the picture in frames ``first`` to ``last``, both included."""
    return new_prompt(first, name, Absent(first, last))


def track(
    video: str | os.PathLike[str],
    prompts: Sequence[Prompt],
    *,
    out: str | os.PathLike[str],
    settings: Sequence[str] = (),
    executor: ExecutorName = "inline",
    force: bool = False,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> Project:
    """Track ``video`` (a file, a folder of images, an fsspec URL) into the project ``out``; continue it if it was begun.

    ``settings`` are overrides such as ``"propagation.mem_every=10"``. ``listener`` hears of every event, in the calling
    thread. Setting ``stop`` ends the run after the chunks under way. Raises :class:`TamDistError` and its subclasses,
    :class:`RunInterruptedError` where it was stopped.
    """
    config = settle(load_config(settings), os.fspath(out))
    job = prepare(os.fspath(video), in_given_order(prompts), os.fspath(out), config, force=force)
    return _finish(job, config, executor, listener, stop)


def resume(
    project: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    video: str | os.PathLike[str] | None = None,
    executor: ExecutorName = "inline",
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> Project:
    """Continue a project where its last run ended, and track again what was lost or damaged in it since.

    ``settings`` may change how it runs (``cluster``, ``credits``, ``runtime.device``) and where its weights lie; those that
    decide the masks are the project's own. ``video``: where its video lies now.
    """
    moved = None if video is None else os.fspath(video)
    job, config = continue_project(os.fspath(project), settings, video=moved)
    return _finish(job, config, executor, listener, stop)


def chosen_executor(name: str, videos: int, config: Config, address: str | None = None) -> ExecutorName:
    """The executor of that name; "auto" chooses by the work.

    One video has no use for Ray, which takes some ten seconds to start, unless there is a cluster (``address``, else
    ``$RAY_ADDRESS``), or a second GPU on this machine, on which its SAM can work beside its XMem. Raises :class:`ConfigError`.
    """
    names = ("auto", *get_args(ExecutorName))
    if name not in names:
        raise ConfigError(f"There is no executor {name!r}; choose {', '.join(names[:-1])} or {names[-1]}.")
    if name != "auto":
        return cast(ExecutorName, name)
    shared = config.cluster.gpus_per_propagator + config.cluster.gpus_per_refiner <= 1 or config.runtime.device == "cpu"
    alone = videos <= 1 and not (address or os.environ.get("RAY_ADDRESS"))
    return "inline" if alone and (shared or visible_gpus() < 2) else "ray"


def visible_gpus() -> int:
    """Of NVIDIA, which this process may use: without torch, whose import takes seconds."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([device for device in chosen.split(",") if device.strip() not in ("", "-1")])
    try:
        return len(os.listdir("/proc/driver/nvidia/gpus"))
    except OSError:
        return 0


def run_jobs(
    jobs: Sequence[VideoJob],
    config: Config,
    executor: ExecutorName,
    *,
    address: str | None = None,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    requests: AskRequests | None = None,
    more: JobFeed | None = None,
) -> list[Outcome]:
    """Run prepared jobs to their end on the named executor, and those that ``more`` brings meanwhile; ``address`` is that of a
    Ray cluster, ``requests`` tells what other processes ask of the run.
    """
    if executor == "ray":
        from actors.driver import run_on_ray

        return run_on_ray(jobs, config, address=address, listener=listener, stop=stop, requests=requests, more=more)
    return run_inline(jobs, config, listener=listener, stop=stop, requests=requests, more=more)


def _finish(
    job: VideoJob, config: Config, executor: ExecutorName, listener: Listener | None, stop: threading.Event | None
) -> Project:
    with watch_project(job, config, executor) as monitor:
        heard = monitor if listener is None else all_of(listener, monitor)
        (outcome,) = run_jobs([job], config, executor, listener=heard, stop=stop, requests=monitor.requests)
    outcome.raise_failure()
    return Project.open(outcome.project)

"""Corrections reach the actors of a run on Ray through files alone, and its masks are those of log and track record."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tam_dist
from actors.driver import run_on_ray
from storage.project_store import ProjectStore
from tam_dist.config import Config
from tam_dist.coordination.events import ChunkCommitted, Event, all_of
from tam_dist.due import due_work
from tam_dist.monitoring.monitor import watch_project
from tam_dist.preparation import prepare
from tam_dist.steering import Acknowledged
from tests.replaying import replayed
from tests.tiny import square


def test_a_run_on_ray_takes_corrections(namespace: str, config: Config, tiny_video: Path, tmp_path: Path) -> None:
    """One while it tracks, one when the last chunk is stored."""
    out = tmp_path / "p"
    job = prepare(str(tiny_video), [tam_dist.mask("cat", square(4, 10))], str(out), config)
    answers: list[Acknowledged] = []
    due = {1: (7, square(30, 20)), 5: (30, square(8, 20))}

    def correct(event: Event) -> None:
        if isinstance(event, ChunkCommitted) and event.chunk in due:
            frame, mask = due.pop(event.chunk)
            answers.append(tam_dist.correct(out, [tam_dist.mask("cat", mask, frame=frame)]))

    with watch_project(job, config, "ray") as monitor:
        heard = all_of(monitor, correct)
        (outcome,) = run_on_ray([job], config, namespace=namespace, listener=heard, requests=monitor.requests)
    outcome.raise_failure()
    assert [answer.live for answer in answers] == [True, True]
    work = due_work(ProjectStore.open(out, write=False))
    assert not work.missing | work.stale
    found = tam_dist.Project.open(out)
    assert np.array_equal(found.masks["cat"][7], square(30, 20))
    assert np.array_equal(found.masks["cat"][30], square(8, 20))
    assert np.array_equal(found.labels[:], replayed(found, tmp_path / "replay").labels[:])

"""Step 3 on Ray: the same bits as without it, also where the refiner dies with a request in its hands, twice."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from actors.coordinator import find_coordinator
from actors.driver import run_on_ray
from tam_dist.config import Config, load_config
from tam_dist.coordination.calls import Role
from tam_dist.coordination.events import Event, SegmentationAsked, WorkerDied
from tam_dist.preparation import settle
from tam_dist.project import Project
from tam_dist.running import run_inline
from tam_dist.types import Origin
from tests.actors.conftest import SHAPE
from tests.actors.corpus import Clip, fingerprints, projects, write_videos


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[Clip, Path]:
    return write_videos(tmp_path_factory.mktemp("refined"), [Clip("a", 24, 96, 128, "mask"), Clip("b", 12, 64, 96, "mask")])


@pytest.mark.parametrize("mode", ["on", pytest.param("deferred", marks=pytest.mark.slow)])
def test_a_refiner_that_dies_while_asked_changes_no_bit(
    mode: str, namespace: str, clips: dict[Clip, Path], tmp_path: Path
) -> None:
    # The embedded models, as those of random weights refuse each other's masks. Every mask is poor, every better one taken.
    settings = [
        "propagation.enlarge=false",
        "tracking.chunk_size=8",
        "refinement.threshold=1",
        "refinement.release=1",
        "refinement.margin=-1",
    ]
    config: Config = settle(load_config([*SHAPE, *settings, f"refinement.mode={mode}", "refinement.max_share=1"]))
    config = replace(config, cluster=replace(config.cluster, max_deaths_per_chunk=1000))
    for outcome in run_inline(projects(clips, tmp_path / "inline", config), config):
        outcome.raise_failure()
    killed: list[int] = []
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, SegmentationAsked) and len(killed) < 2:
            stats = ray.get(find_coordinator(namespace).stats.remote(), timeout=60)  # type: ignore[union-attr]
            for worker, found in stats.items():
                if worker.role is Role.REFINER and found.pid not in killed:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(found.pid, signal.SIGKILL)
                        killed.append(found.pid)

    for outcome in run_on_ray(projects(clips, tmp_path / "ray", config), config, namespace=namespace, listener=listen):
        outcome.raise_failure()
    assert killed
    assert any(isinstance(e, WorkerDied) for e in events)
    origin = Project.open(tmp_path / "inline" / "a").origin[:]
    assert (origin == Origin.REFINED).any()
    assert fingerprints(tmp_path / "ray") == fingerprints(tmp_path / "inline")

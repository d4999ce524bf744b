"""Whatever is killed, and whenever, the masks come out the same. The long form is tests/benchmarks/chaos.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from actors.coordinator import find_coordinator
from actors.driver import run_on_ray
from tam_dist.config import Config
from tam_dist.coordination.events import Event, VideoReplayed, WorkerDied
from tests.actors.chaos import WORKERS, Killer, Reader
from tests.actors.corpus import Clip, fingerprints, projects, write_videos
from tests.actors.standins import STAND_INS, run_stand_ins


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[Clip, Path]:
    """Long enough that something can be killed while they are tracked."""
    return write_videos(
        tmp_path_factory.mktemp("long"),
        [Clip("a", 150, 48, 64, "mixed"), Clip("b", 90, 32, 32, "clicks"), Clip("c", 120, 40, 40, "mask")],
    )


def check(
    namespace: str, kinds: Sequence[str], kills: int, clips: dict[Clip, Path], config: Config, folder: Path
) -> list[Event]:
    used = replace(config, cluster=replace(config.cluster, max_deaths_per_chunk=1000))
    run_stand_ins(projects(clips, folder / "undisturbed", used), used)
    jobs = projects(clips, folder / "ray", used)
    events: list[Event] = []
    with (
        Killer(namespace, kills, kinds, pause=(0.1, 1.0), seed=5) as killer,
        Reader(folder / "ray") as reader,
    ):
        for outcome in run_on_ray(jobs, used, namespace=namespace, listener=events.append, actors=STAND_INS):
            outcome.raise_failure()
    assert killer.killed.total() >= 1
    assert reader.torn == []
    assert fingerprints(folder / "ray") == fingerprints(folder / "undisturbed")
    return events


def test_workers_of_every_kind_may_die(namespace: str, clips: dict[Clip, Path], config: Config, tmp_path: Path) -> None:
    events = check(namespace, WORKERS, 5, clips, config, tmp_path)
    assert any(isinstance(e, WorkerDied) for e in events)
    assert not any(isinstance(e, VideoReplayed) and e.because == "refiner" for e in events)


def test_the_coordinator_may_die(namespace: str, clips: dict[Clip, Path], config: Config, tmp_path: Path) -> None:
    check(namespace, ["coordinator"], 1, clips, config, tmp_path)
    assert find_coordinator(namespace) is not None

"""One Ray for all tests of the actors, with as many fake GPUs as they need; a namespace, and so a coordinator, for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from actors.coordinator import find_coordinator
from tam_dist.config import Config, load_config
from tam_dist.preparation import settle
from tam_dist.running import run_inline
from tests.actors.corpus import Clip, fingerprints, projects, write_videos

#: Those tests' actors share the GPUs that Ray believes in; none is touched.
SHAPE = (
    "cluster.preset=cpu",
    "cluster.propagators=2",
    "cluster.refiners=1",
    "cluster.decoders=2",
    "cluster.writers=2",
    "runtime.threads=4",  # two for an operator, unlike the one that Ray gives an actor by default
    "runtime.precision=fp32",  # bf16 takes up to nine times as long where the processor lacks it
)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_free_objects_period_milliseconds", "100")
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=4,
        object_store_memory=256 << 20,
        include_dashboard=False,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


@pytest.fixture
def namespace(cluster: None, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test-{request.node.name}"
    yield name
    coordinator = find_coordinator(name)
    if coordinator is not None:
        ray.kill(coordinator)  # its workers die with it


@pytest.fixture(scope="session")
def settings(tiny_settings: tuple[str, ...]) -> tuple[str, ...]:
    return (*tiny_settings, *SHAPE)


@pytest.fixture(scope="session")
def config(settings: tuple[str, ...]) -> Config:
    return settle(load_config(settings))


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[Clip, Path]:
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="session")
def undisturbed(
    videos: dict[Clip, Path], config: Config, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What every run must give: the one without Ray."""
    out = tmp_path_factory.mktemp("inline")
    for outcome in run_inline(projects(videos, out, config), config):
        outcome.raise_failure()
    return fingerprints(out)

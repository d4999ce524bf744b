"""The head of a cluster is lost while videos are tracked: in part or as a whole, with Redis behind it and without."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil
import pytest

from tests.actors.chaos import wait_until
from tests.deploy.clusters import TAM_DIST, cluster_environment, free_address, free_ports
from tests.deploy.files import ROOT
from tests.deploy.nodes import REDIS_OPTIONS, Node, kill, redis
from tests.deploy.runs import labels, labels_so_far

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: A driver on the machine that has a folder; there is no option for that, as elsewhere a machine has one Ray.
_DRIVER = """import sys, ray
ray.init(address={address!r}, _temp_dir={folder!r}, log_to_driver=False, logging_level="ERROR")
from tam_dist.cli import main
sys.argv = ["tam-dist", *sys.argv[1:]]
main()
"""


class TwoNodes:
    """A head without CPUs, as KubeRay has it, and the machine that works, where the driver is. They wait for a head that is
    gone for ``patience`` seconds, by default as Ray does.
    """

    def __init__(self, folder: Path, head_environment: Mapping[str, str], *head_options: str, patience: int = 60) -> None:
        self._folder = folder
        self._address = free_address()
        patient = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(patience)}
        self._environment = cluster_environment(self._address) | patient
        self._head_environment = self._environment | head_environment
        self._head_options = head_options
        self._all = ExitStack()
        self.heads = 0

    def __enter__(self) -> Self:
        self.head = self.another_head()
        options = (f"--address={self._address}", "--num-cpus=4")
        self.worker = self._all.enter_context(Node(self._folder / "worker", self._environment, *options))
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()

    def another_head(self) -> Node:
        """By the same address, with nothing that the one before it left."""
        self.heads += 1
        client, dashboard = free_ports(2)
        port = self._address.rpartition(":")[2]
        options = ("--head", f"--port={port}", f"--ray-client-server-port={client}", f"--dashboard-port={dashboard}")
        folder = self._folder / f"head{self.heads}"
        return self._all.enter_context(Node(folder, self._head_environment, *options, *self._head_options, "--num-cpus=0"))

    def run(self, *words: str) -> subprocess.Popen[str]:
        program = _DRIVER.format(address=self._address, folder=str(self.worker.folder))
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [TAM_DIST[0], "-c", program, *words], env=self._environment, stdout=pipe, stderr=pipe, text=True, cwd=ROOT
        )


@pytest.fixture
def remembering(short_path: Path) -> Iterator[TwoNodes]:
    """A cluster with Redis."""
    with redis(short_path / "redis") as environment, TwoNodes(short_path, environment, *REDIS_OPTIONS) as cluster:
        yield cluster


@pytest.fixture
def forgetful(short_path: Path) -> Iterator[TwoNodes]:
    """A cluster without."""
    with TwoNodes(short_path, {}, patience=10) as cluster:
        yield cluster


def run_words(corpus: Path, out: Path, settings: tuple[str, ...]) -> tuple[str, ...]:
    return ("run", str(corpus), "--out", str(out), *settings, "cluster.preset=cpu", "cluster.decoders=2")


def half_way(
    cluster: TwoNodes, corpus: Path, out: Path, settings: tuple[str, ...]
) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A run in its middle, and its propagators: it can't end now, whatever happens, before somebody starts these again."""
    driver = cluster.run(*run_words(corpus, out, settings))
    wait_until(lambda: labels_so_far(out) > 0 or driver.poll() is not None, 300, "the first chunk")
    propagators = cluster.worker.processes("Propagator")
    assert propagators
    for process in propagators:
        process.suspend()
    return driver, propagators


def test_a_run_goes_on_when_the_control_plane_is_back(
    remembering: TwoNodes, corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    driver, propagators = half_way(remembering, corpus, out, tiny_settings)
    gcs = remembering.head.kill_gcs()
    kill(propagators)
    assert driver.poll() is None
    with gcs.started_again():
        output, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert "3 videos done" in output
    assert labels(out) == undisturbed


def test_a_run_goes_on_when_another_head_takes_the_place_of_the_lost_one(
    remembering: TwoNodes, corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    """The run's coordinator is lost as well, wherever it was."""
    out = tmp_path / "runs"
    driver, propagators = half_way(remembering, corpus, out, tiny_settings)
    remembering.head.kill()
    kill([*propagators, *remembering.worker.processes("Coordinator")])
    assert driver.poll() is None
    remembering.another_head()
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert labels(out) == undisturbed


def test_without_redis_the_next_command_continues(
    forgetful: TwoNodes, corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    driver, _ = half_way(forgetful, corpus, out, tiny_settings)
    forgetful.head.kill()
    driver.communicate(timeout=300)
    assert driver.returncode != 0
    forgetful.worker.kill()
    forgetful.another_head()
    forgetful.worker.start()
    driver = forgetful.run(*run_words(corpus, out, tiny_settings))
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert labels(out) == undisturbed

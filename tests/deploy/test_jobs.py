"""Jobs on a cluster: submitted, two at once, stopped and continued; and a head whose control plane is lost and comes back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.actors.chaos import wait_until
from tests.deploy.clusters import RAY, TAM_DIST, Cluster, free_address, free_ports, ray_head
from tests.deploy.files import tool
from tests.deploy.runs import labels, labels_so_far

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PYTHON = TAM_DIST[0]


def job(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    return cluster.run(RAY, "job", words[0], f"--address={cluster.dashboard}", *words[1:], timeout=200)


def run_words(corpus: Path, out: Path, settings: tuple[str, ...]) -> tuple[str, ...]:
    return ("run", str(corpus), "--out", str(out), *settings, "cluster.preset=cpu", "cluster.decoders=2")


def test_a_job_is_submitted_and_two_share_the_cluster(
    corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path, short_path: Path
) -> None:
    (tmp_path / "travels").mkdir()
    (tmp_path / "travels" / "corpus.jsonl").write_text(corpus.read_text())  # it names its videos by absolute paths
    with ray_head(short_path / "ray", "--num-cpus=4") as cluster:
        for name in ("one", "two"):
            words = run_words(Path("corpus.jsonl"), tmp_path / name, tiny_settings)
            options = ("--no-wait", f"--submission-id={name}", f"--working-dir={tmp_path / 'travels'}")
            done = job(cluster, "submit", *options, "--", PYTHON, *TAM_DIST[1:], *words)
            assert done.returncode == 0, done.stdout + done.stderr
        for name in ("one", "two"):
            log = job(cluster, "logs", "--follow", name).stdout
            assert "3 videos done" in log, log
            assert "succeeded" in job(cluster, "status", name).stdout
    assert labels(tmp_path / "one") == labels(tmp_path / "two") == undisturbed


def test_a_job_that_is_stopped_saves_and_the_next_one_continues(
    corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path, short_path: Path
) -> None:
    out = tmp_path / "runs"
    words = run_words(corpus, out, tiny_settings)
    stop_patiently = {"RAY_JOB_STOP_WAIT_TIME_S": "60"}  # as the image has it
    with ray_head(short_path / "ray", "--num-cpus=4", environment=stop_patiently) as cluster:
        job(cluster, "submit", "--no-wait", "--submission-id=first", "--", PYTHON, *TAM_DIST[1:], *words)
        wait_until(lambda: labels_so_far(out) > 0, 120, "the first chunk")
        job(cluster, "stop", "first")
        assert "stopped" in job(cluster, "status", "first").stdout.lower()
        before = labels_so_far(out)
        done = job(cluster, "submit", "--submission-id=second", "--", PYTHON, *TAM_DIST[1:], *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert before > 0
    assert labels(out) == undisturbed


# --- Redis ------------------------------------------------------------------------------------------------------------


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    [port] = free_ports(1)
    server = tool("redis-server", "redis-server")
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--requirepass", "secret"]
    with (folder / "redis.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: "Ready to accept" in (folder / "redis.log").read_text(), 30, "Redis")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def control_plane(cluster: Cluster) -> psutil.Process:
    """The process of this cluster's control plane, which is named by its session's folder."""
    found = [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "gcs_server" and any(str(cluster.folder) in word for word in process.info["cmdline"] or ())
    ]
    assert len(found) == 1
    return found[0]


def test_with_redis_a_run_goes_on_when_the_control_plane_is_lost(
    corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path, short_path: Path
) -> None:
    """The machine stays and its control plane comes back, as where a head's pod is restarted beside its workers: here by hand,
    with the very command that ran before.
    """
    out = tmp_path / "runs"
    with redis(tmp_path) as address:
        environment = {"RAY_REDIS_ADDRESS": address, "RAY_external_storage_namespace": "test"}
        password = ("--redis-password=secret",)
        with ray_head(
            short_path / "ray", "--num-cpus=4", *password, address=free_address(), environment=environment
        ) as cluster:
            run = cluster.start(*TAM_DIST, *run_words(corpus, out, tiny_settings))
            wait_until(lambda: labels_so_far(out) > 0, 120, "the first chunk")
            lost = control_plane(cluster)
            command, env, folder = lost.cmdline(), lost.environ(), lost.cwd()
            lost.kill()
            time.sleep(3)
            back = subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                _, errors = run.communicate(timeout=200)
            finally:
                back.kill()
                back.wait()
        assert run.returncode == 0, errors
    assert labels(out) == undisturbed


def test_without_redis_the_next_command_continues(
    corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path, short_path: Path
) -> None:
    out = tmp_path / "runs"
    words = run_words(corpus, out, tiny_settings)
    with ray_head(short_path / "ray", "--num-cpus=4") as cluster:
        run = cluster.start(*TAM_DIST, *words)
        wait_until(lambda: labels_so_far(out) > 0, 120, "the first chunk")
        control_plane(cluster).kill()
        _, errors = run.communicate(timeout=200)
        assert run.returncode in (1, 5), errors
        assert "Traceback" not in errors
    with ray_head(short_path / "again", "--num-cpus=4") as cluster:
        done = cluster.run(*TAM_DIST, *words, timeout=200)
        assert done.returncode == 0, done.stderr
    assert labels(out) == undisturbed

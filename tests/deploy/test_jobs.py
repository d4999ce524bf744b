"""Jobs on a cluster: submitted, two at once, stopped and continued."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.actors.chaos import wait_until
from tests.deploy.clusters import RAY, TAM_DIST, Cluster, ray_head
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

"""The pane as the deployments start it answers what their probes ask."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.actors.chaos import wait_until
from tests.deploy.clusters import TAM_DIST, free_ports
from tests.deploy.files import DEPLOY, ROOT, load


@pytest.mark.slow
def test_the_probes_are_answered_without_a_login(tmp_path: Path) -> None:
    [deployment] = [each for each in load(DEPLOY / "kuberay" / "base" / "review.yaml") if each["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    probed = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
    assert container["command"][:4] == ["tini", "--", "tam-dist", "review"]
    assert all(f"7860{path}" in (DEPLOY / "docker" / "Dockerfile").read_text() for path in probed)

    (tmp_path / "password").write_text("correct horse battery staple\n")
    [port] = free_ports(1)
    here = {"/data": str(tmp_path), "/run/secrets/tam-dist/review-password": str(tmp_path / "password")}
    arguments = [here.get(word, word) for word in container["args"]]
    words = ["review", str(tmp_path / "runs"), *arguments, "--port", str(port)]  # before there is a run
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*TAM_DIST, *words], env=environment, stderr=subprocess.DEVNULL)

    def answers(path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                return bool(answer.status == 200)
        except OSError:
            assert process.poll() is None
            return False

    try:
        for path in probed:
            wait_until(lambda path=path: answers(path), 120, path)
    finally:
        process.terminate()
        process.wait(timeout=30)

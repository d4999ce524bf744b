"""A cluster that somebody else started, shared by drivers in processes of their own, of which one may be killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.project_store import ProjectStore
from tam_dist.config import Config
from tests.actors.chaos import wait_until
from tests.actors.corpus import CLIPS, Clip, fingerprints, projects, write_videos
from tests.actors.standins import run_stand_ins

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SCRIPT = (sys.executable, "-m", "tests.benchmarks.chaos")
RAY = str(Path(sys.executable).parent / "ray")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a Ray started by ``ray start``, and the environment that its drivers need."""
    port = free_port()
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": uuid.uuid4().hex,
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "PYTHONPATH": str(ROOT),
    }
    command = [RAY, "start", "--head", "--block", f"--port={port}", "--num-cpus=4", "--num-gpus=0", "--include-dashboard=false"]
    command += ["--object-store-memory=100000000", f"--min-worker-port={port + 1000}", f"--max-worker-port={port + 1200}"]
    log = (tmp_path_factory.mktemp("head") / "log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        # Not "ray.init(", which Ray colours in the middle, so that it was found in a message about earlier clusters alone.
        started = "Ray runtime started"
        wait_until(lambda: started in Path(log.name).read_text() or process.poll() is not None, 120, "the cluster")
        yield f"{socket.gethostbyname(socket.gethostname())}:{port}", environment
    finally:
        process.terminate()  # ``--block`` takes the cluster's other processes with it
        process.wait(timeout=60)


def drive(out: Path, head: tuple[str, dict[str, str]], *options: str, namespace: str = "shared") -> subprocess.Popen[bytes]:
    address, environment = head
    command = [*SCRIPT, "--drive", str(out), "--address", address, "--namespace", namespace]
    return subprocess.Popen([*command, *options], env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[Clip, Path]:
    return write_videos(
        tmp_path_factory.mktemp("videos"), [Clip(c.name, 3 * c.frames, c.height, c.width, c.kind) for c in CLIPS]
    )


def test_two_drivers_share_a_cluster(
    head: tuple[str, dict[str, str]], clips: dict[Clip, Path], config: Config, tmp_path: Path
) -> None:
    run_stand_ins(projects(clips, tmp_path / "undisturbed", config), config)
    halves = list(clips.items())
    for n in range(2):
        projects(dict(halves[n::2]), tmp_path / f"driver{n}", config)
    drivers = [drive(tmp_path / f"driver{n}", head) for n in range(2)]
    assert [driver.wait(timeout=280) for driver in drivers] == [0, 0]
    found = fingerprints(tmp_path / "driver0") | fingerprints(tmp_path / "driver1")
    assert found == fingerprints(tmp_path / "undisturbed")


def test_a_driver_that_was_killed_is_followed_by_another(
    head: tuple[str, dict[str, str]], clips: dict[Clip, Path], config: Config, tmp_path: Path
) -> None:
    run_stand_ins(projects(clips, tmp_path / "undisturbed", config), config)
    out = tmp_path / "killed"
    projects(clips, out, config)
    first = drive(out, head)
    wait_until(lambda: any(out.glob("*/commits/*")) or first.poll() is not None, 200, "the first commit")
    first.kill()
    first.wait()
    assert drive(out, head).wait(timeout=280) == 0
    assert fingerprints(out) == fingerprints(tmp_path / "undisturbed")


def test_a_detached_run_goes_on_without_its_driver(
    head: tuple[str, dict[str, str]], clips: dict[Clip, Path], config: Config, tmp_path: Path
) -> None:
    run_stand_ins(projects(clips, tmp_path / "undisturbed", config), config)
    out = tmp_path / "left"
    projects(clips, out, config)
    driver = drive(out, head, "--detach", namespace="left")
    wait_until(lambda: any(out.glob("*/commits/*")) or driver.poll() is not None, 200, "the first commit")
    driver.kill()
    driver.wait()
    assert not all_done(out)
    wait_until(lambda: all_done(out), 200, "the end of the run that was left alone")
    assert fingerprints(out) == fingerprints(tmp_path / "undisturbed")


def all_done(out: Path) -> bool:
    return all(ProjectStore.open(project, write=False).status().state == "done" for project in out.iterdir())


def test_thirty_kills_machines_among_them() -> None:
    """The long form of test_chaos, a cluster of its own."""
    command = [*SCRIPT, "--kills", "30", "--seed", "4", "--nodes"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert found.returncode == 0, found.stdout + found.stderr[-3000:]
    assert "masks, scores, revisions and files as undisturbed" in found.stdout
    assert "'node'" in found.stdout

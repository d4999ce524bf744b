"""Clusters that `ray start` makes, on ports and in folders of their own; nothing here stops anybody else's Ray."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.actors.chaos import wait_until
from tests.deploy.files import ROOT

BIN = Path(sys.executable).parent
RAY = str(BIN / "ray")
TAM_DIST = (sys.executable, "-m", "tam_dist.cli")

#: Never the same twice, so that what is free is still so when it is used.
_candidates = itertools.count(12_000 + os.getpid() % 8_000)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, below those that the system gives to connections."""
    found: list[int] = []
    while len(found) < count:
        candidate = next(_candidates)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            found.append(candidate)
    return found


def free_address() -> str:
    """For a head of this machine, by the address that its workers are told."""
    return f"{socket.gethostbyname(socket.gethostname())}:{free_ports(1)[0]}"


def cluster_environment(address: str) -> dict[str, str]:
    """For the machines and drivers of a cluster with its own token."""
    return os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": uuid.uuid4().hex,
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RAY_ADDRESS": address,
    }


@dataclass(frozen=True)
class Cluster:
    """``environment`` is what its drivers need; ``folder`` has its logs."""

    address: str
    dashboard: str
    metrics: str
    environment: Mapping[str, str]
    folder: Path

    def run(self, *command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout, cwd=ROOT)

    def start(self, *command: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


@contextmanager
def ray_head(
    folder: Path, *options: str, address: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A head with its own token. ``folder``'s path must be short: Ray's sockets lie in it. ``environment`` is the head's
    alone.
    """
    dashboard, metrics, agent, client, first = free_ports(5)
    address = address or free_address()
    env = cluster_environment(address)
    port = address.rpartition(":")[2]
    command = [RAY, "start", "--head", "--block", f"--port={port}", "--object-store-memory=100000000", f"--temp-dir={folder}"]
    command += [f"--dashboard-port={dashboard}", f"--metrics-export-port={metrics}", f"--dashboard-agent-listen-port={agent}"]
    command += [f"--ray-client-server-port={client}", f"--min-worker-port={first + 100}", f"--max-worker-port={first + 300}"]
    with _process([*command, *options], env | (environment or {}), folder / "head.log"):
        yield Cluster(address, f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{metrics}", env, folder)


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None, 120, "the cluster")
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.terminate()  # ``--block`` takes the cluster's other processes with it, but for its log monitor
        process.wait(timeout=60)
        for left in psutil.process_iter(["cmdline"]):
            if any(str(log.parent) in word for word in left.info["cmdline"] or ()):
                left.kill()

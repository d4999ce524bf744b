"""Machines of a cluster that can be lost one by one, or in part: each is what `ray start` leaves running, with a folder of its
own, on this machine.

`ray start --block` would not do: it ends what is left of a machine as soon as one of its processes is gone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil

from tests.actors.chaos import wait_until
from tests.deploy.clusters import RAY, free_ports
from tests.deploy.files import tool

_PASSWORD = "between-ray-and-redis"


class Node:
    """``options`` are those of `ray start`; ``folder``'s path must be short, since Ray's sockets lie in it."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *options: str) -> None:
        self.folder = folder
        self._environment = environment
        self._options = options

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [RAY, "start", *self._options, *port_options(), f"--temp-dir={self.folder}"]
        command += ["--object-store-memory=100000000"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Those of Ray, which name the folder, and their children, which are the actors; or of them those with a name."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in process.info["cmdline"] or ()):
                with suppress(psutil.NoSuchProcess):
                    found.update({child.pid: child for child in [process, *process.children(recursive=True)]})
        return [process for process in found.values() if name in _title(process)]

    def kill(self) -> None:
        """All of it at once, as when the power is cut."""
        kill(self.processes())

    def kill_gcs(self) -> GcsServer:
        [process] = self.processes("gcs_server")
        lost = GcsServer(process.cmdline(), process.environ(), process.cwd())
        kill([process])
        return lost


class GcsServer:
    """Ray's control plane, as a supervisor needs to know it to start it again."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
        self._command = command
        self._environment = environment
        self._folder = folder

    @contextmanager
    def started_again(self) -> Iterator[None]:
        nothing = subprocess.DEVNULL
        process = subprocess.Popen(self._command, env=self._environment, cwd=self._folder, stdout=nothing, stderr=nothing)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(processes, timeout=30)
    assert not left


def port_options() -> list[str]:
    """Ports of one machine that no other of the same address has."""
    metrics, agent, first = free_ports(3)
    return [
        f"--metrics-export-port={metrics}",
        f"--dashboard-agent-listen-port={agent}",
        f"--min-worker-port={first + 100}",
        f"--max-worker-port={first + 300}",
    ]


@contextmanager
def redis(folder: Path) -> Iterator[dict[str, str]]:
    """What a head needs in its environment to keep its state there."""
    [port] = free_ports(1)
    folder.mkdir()
    command = [tool("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--requirepass", _PASSWORD]
    log = folder / "redis.log"
    with log.open("w") as output:
        server = subprocess.Popen([*command, "--dir", str(folder), "--save", ""], stdout=output, stderr=output)
    try:
        wait_until(lambda: "Ready to accept connections" in log.read_text(), 30, "Redis")
        yield {"RAY_REDIS_ADDRESS": f"127.0.0.1:{port}", "RAY_external_storage_namespace": folder.name}
    finally:
        server.kill()
        server.wait()


#: Options of a head that uses it.
REDIS_OPTIONS = (f"--redis-password={_PASSWORD}",)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:
        return ""

"""A Slurm of one node, as this user, on ports and in a folder of its own."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.actors.chaos import wait_until
from tests.deploy.clusters import BIN, free_ports
from tests.deploy.files import ROOT, tool

_CONF = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
MinJobAge=600
KillWait=20
JobRequeue=1
NodeName={host} CPUs={cpus} RealMemory=500 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    environment: Mapping[str, str]

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def field(self, job: str, name: str) -> str:
        """Of ``scontrol show job``."""
        words = self.ask("scontrol", "show", "job", job).split()
        return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))

    def idle(self) -> bool:
        """Whether its node is there and has nothing to do, not even to clean up."""
        asked = subprocess.run(["sinfo", "-h", "-o", "%T"], env=self.environment, capture_output=True, text=True)
        return asked.stdout.strip() == "idle"


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Skips where Slurm's programs are not installed."""
    controller, node = tool("slurmctld", "slurm-wlm"), tool("slurmd", "slurm-wlm")
    host = socket.gethostname().partition(".")[0]
    ports = dict(zip(("controller", "node"), free_ports(2), strict=True))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    settings = ports | {"host": host, "user": getpass.getuser(), "folder": folder, "cpus": min(os.cpu_count() or 1, 4)}
    (folder / "slurm.conf").write_text(_CONF.format(**settings))
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin"}
    environment |= {"PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    daemons = []
    try:
        for command in ((controller, "-D", "-c"), (node, "-D", "-N", host)):
            with (folder / f"{Path(command[0]).name}.out").open("w") as log:
                daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        found = Slurm(environment)
        wait_until(found.idle, 60, "Slurm's node")
        yield found
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=30)

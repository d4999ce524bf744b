"""Kill everything, at random moments, and compare the masks with those of an undisturbed run.

    python -m tests.benchmarks.chaos --kills 30 --seed 1

Six videos are tracked on Ray by a driver in a process of its own while decoders, propagators, refiners, writers (one or two
at once), the coordinator and the driver are killed with SIGKILL; a driver that died is started again. Once all videos are
done another round begins, until enough was killed. A reader polls meanwhile. Models are stand-ins whose masks show any
step on a wrong state; ``--real`` takes the real ones, with random weights. ``--nodes`` adds a machine of its own for the
workers (ray.cluster_utils.Cluster), which is lost and replaced, too. ``--address`` joins a running cluster.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from actors.coordinator import find_coordinator
from actors.driver import run_on_ray
from actors.executor import ACTORS
from storage.project_store import ProjectStore
from tam_dist.config import Config, from_dict, load_config
from tam_dist.coordination.service import LEASE_SECONDS
from tam_dist.coordination.video import VideoJob
from tam_dist.preparation import job_of, settle
from tam_dist.running import run_inline
from tests.actors.chaos import WORKERS, Killer, Reader
from tests.actors.corpus import CLIPS, Clip, differences, fingerprints, projects, write_videos
from tests.actors.standins import STAND_INS, run_stand_ins
from tests.tiny import write_weights

SHAPE = (
    "cluster.preset=cpu",
    "cluster.propagators=2",
    "cluster.refiners=1",
    "cluster.decoders=2",
    "cluster.writers=2",
    "cluster.max_deaths_per_chunk=1000",  # who kills at random will hit the same chunk now and then
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, nargs=2, default=(0.5, 4.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--length", type=int, default=3, help="the clips' lengths are multiplied by this")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--segments", default="whole", help="as tracking.segments, both ways; with --real")
    parser.add_argument("--nodes", action="store_true")
    parser.add_argument("--address")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    parser.add_argument("--detach", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--namespace", default="chaos", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(Path(arguments.drive), arguments)
    else:
        with tempfile.TemporaryDirectory(prefix="tam-dist-chaos-") as folder:
            Chaos(Path(folder), arguments).run()


def drive(folder: Path, arguments: argparse.Namespace) -> None:
    """The driver's process: continue every project. Detached, its run would end soon after it by its lease if it could."""
    stores = [ProjectStore.open(project, write=False) for project in sorted(folder.iterdir())]
    config = from_dict(dict(stores[0].manifest.config))
    outcomes = run_on_ray(
        [job_of(store) for store in stores],
        config,
        address=arguments.address,
        namespace=arguments.namespace,
        actors=ACTORS if arguments.real else STAND_INS,
        detach=arguments.detach,
        lease=1.0 if arguments.detach else LEASE_SECONDS,
    )
    for outcome in outcomes:
        outcome.raise_failure()


class Chaos:
    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder = folder
        self.arguments = arguments
        passes = [f"tracking.segments={arguments.segments}"]
        passes += [] if arguments.segments == "whole" else ["tracking.direction=both"]
        self.config = settle(load_config([*write_weights(folder), *SHAPE, *passes]))
        clips = [Clip(c.name, c.frames * arguments.length, c.height, c.width, c.kind) for c in CLIPS]
        self.videos = write_videos(folder / "videos", clips)
        self.log = folder / "driver.log"
        self.killed: Counter[str] = Counter()
        self.reads = 0
        self.cluster: Cluster | None = None
        self.node: Any = None  # Ray's Node
        self.node_due = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        undisturbed = self.folder / "undisturbed"
        run_undisturbed(projects(self.videos, undisturbed, self.config), self.config, self.arguments.real)
        want = fingerprints(undisturbed)
        self.start()
        try:
            rounds = 0
            while self.killed.total() < self.arguments.kills:
                rounds += 1
                self.round(self.folder / f"round{rounds}", rounds, want)
        finally:
            coordinator = find_coordinator("chaos")
            if coordinator is not None:
                ray.kill(coordinator)
            ray.shutdown()
            if self.cluster is not None:
                self.cluster.shutdown()
        print(
            f"{self.killed.total()} kills in {rounds} rounds, {time.monotonic() - began:.0f} s: {dict(self.killed)}; "
            f"{self.reads} chunks read meanwhile, none torn; masks, scores, revisions and files as undisturbed",
            flush=True,
        )

    def start(self) -> None:
        if self.arguments.address is None:
            self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
            self.arguments.address = self.cluster.address
        ray.init(address=self.arguments.address, log_to_driver=False, logging_level=logging.ERROR)
        if self.arguments.nodes:
            self.add_node()

    def add_node(self) -> None:
        """With an address of its own: drivers join through a node that has theirs, and should not be lost with it."""
        assert self.cluster is not None
        self.node = self.cluster.add_node(num_cpus=4, node_ip_address="127.0.0.2")

    def round(self, out: Path, number: int, want: dict[str, dict[str, str]]) -> None:
        projects(self.videos, out, self.config)
        driver = self.driver(out)

        def kill_driver() -> None:
            driver.kill()

        kinds = [*WORKERS, "coordinator", "driver", *(["node"] if self.arguments.nodes else [])]
        killer = Killer(
            "chaos",
            self.arguments.kills - self.killed.total(),
            kinds,
            pause=tuple(self.arguments.pause),
            seed=self.arguments.seed + number,
            kill_driver=kill_driver,
            kill_node=self.node_due.set,
        )
        with killer, Reader(out) as reader:
            while driver.poll() != 0 or self.node_due.is_set():
                if driver.returncode:
                    assert driver.returncode < 0, f"a driver failed:\n{self.log.read_text()[-3000:]}"
                    driver = self.driver(out)
                if self.node_due.is_set():
                    self.replace_node()
                time.sleep(0.05)
        self.killed += killer.killed
        self.reads += reader.reads
        print(f"round {number}: {dict(killer.killed)}", flush=True)
        assert not reader.torn, reader.torn
        wrong = differences(fingerprints(out), want)
        assert not wrong, "\n".join(wrong)

    def driver(self, out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.benchmarks.chaos", "--drive", str(out), "--address", self.arguments.address]
        with self.log.open("w") as log:
            return subprocess.Popen(command + ["--real"] * self.arguments.real, stderr=log)

    def replace_node(self) -> None:
        """In the main thread, where alone Ray can start a node."""
        assert self.cluster is not None
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.add_node()
        self.node_due.clear()


def run_undisturbed(jobs: list[VideoJob], config: Config, real: bool) -> None:
    if real:
        for outcome in run_inline(jobs, config):
            outcome.raise_failure()
        return
    run_stand_ins(jobs, config)


if __name__ == "__main__":
    main()

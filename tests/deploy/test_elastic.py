"""A cluster that has no machine until a run asks for one: it grows from nothing, and shrinks again at the end.

Ray's own stand-in for a cloud starts a raylet for each machine. (``ray.cluster_utils.AutoscalingCluster`` would make it, but
begins with ``ray stop --force``, which ends everybody's Ray on the machine, and needs a file that Ray's package lacks; hence
the provider is named as one from elsewhere.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

from tests.actors.chaos import wait_until
from tests.deploy.clusters import TAM_DIST, Cluster, free_address, ray_head
from tests.deploy.runs import labels

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

#: Two propagators with a GPU each, though none of them is there; the models run on the CPU.
SHAPE = (
    "cluster.preset=gpu2",
    "cluster.propagators=2",
    "cluster.gpus_per_refiner=0",
    "cluster.writers=2",
    "cluster.sessions_per_propagator=1",
)
_NO_COMMANDS = (
    "cluster_synced_files",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
_ALIVE = "import ray; ray.init(logging_level='ERROR', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"


def cloud(gcs: str) -> dict[str, object]:
    """At most two machines with a GPU each, gone when they were idle for six seconds."""
    size = {"CPU": 2, "GPU": 1, "object_store_memory": 100_000_000}
    return {
        "cluster_name": "test",
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 2.0,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": gcs,
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "disable_node_updaters": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": {"resources": size, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        **{name: [] for name in _NO_COMMANDS},
    }


@pytest.fixture
def growing(short_path: Path) -> Iterator[Cluster]:
    address = free_address()
    (short_path / "cloud.yaml").write_text(yaml.safe_dump(cloud(address)))
    environment = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",  # which knows machines by their number; the one before it, by their address
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    }
    options = ("--num-cpus=0", f"--autoscaling-config={short_path / 'cloud.yaml'}")
    with ray_head(short_path / "ray", *options, address=address, environment=environment) as cluster:
        yield cluster


def machines(cluster: Cluster) -> int:
    """The head among them."""
    return int(_asked(cluster, _ALIVE))


def _asked(cluster: Cluster, program: str) -> str:
    done = cluster.run(TAM_DIST[0], "-c", program)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_grows_from_nothing_says_so_and_shrinks(
    growing: Cluster, corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    assert machines(growing) == 1
    out = tmp_path / "runs"
    words = ("run", str(corpus), "--out", str(out), "--log-format", "json", *tiny_settings, *SHAPE)
    done = growing.run(*TAM_DIST, *words, timeout=180)
    assert done.returncode == 5, "without cluster.grow_seconds the cluster is taken as it is"
    assert "The cluster has 0 GPUs" in done.stderr

    done = growing.run(*TAM_DIST, *words, "cluster.grow_seconds=120", timeout=240)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line)["message"] for line in done.stderr.splitlines() if line.startswith("{")]
    assert any("waiting for the cluster to grow (the cluster has 0 GPUs free" in each for each in told), told
    assert labels(out) == undisturbed
    wait_until(lambda: machines(growing) == 1, 120, "the machines' end")


def test_what_no_machine_can_hold_is_told_with_its_reason(
    growing: Cluster, corpus: Path, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("run", str(corpus), "--out", str(tmp_path / "runs"), *tiny_settings, *SHAPE, "cluster.gpus_per_propagator=4")
    done = growing.run(*TAM_DIST, *words, "cluster.grow_seconds=1", timeout=180)
    assert done.returncode == 5
    assert "2 propagators with 4 GPU each need 8" in done.stderr
    assert "no machine came within 1 s" in done.stderr

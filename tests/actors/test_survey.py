"""What a cluster can run, and what a machine of it lacks, is said before anything is started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import ray

from actors import survey as module
from actors.executor import free_nodes
from actors.placement import Node
from actors.survey import Machine, Software, Survey, _difference, presets_for, software, survey
from tam_dist.cli import run
from tests.actors.chaos import wait_until

MINE = Software("3.11.7", "2.60.0", "0.1.0", "2.13.0", (), ())
NODE = Node("a", 4, 0)


def test_presets_are_those_that_can_be_placed() -> None:
    fits, lacks = presets_for([NODE])
    assert fits == ("cpu",)
    assert lacks["gpu1"].startswith("The cluster has 0 GPUs, but")
    assert presets_for([Node("a", 8, 1)])[0] == ("cpu", "gpu1")
    assert presets_for([Node(str(n), 8, 2) for n in range(4)])[0] == module.PRESETS
    assert presets_for([])[0] == ()


@pytest.mark.parametrize(
    ("found", "node", "says"),
    [
        (MINE, NODE, ""),
        (replace(MINE, tam_dist="0.2.0"), NODE, "tam-dist 0.2.0, here 0.1.0"),
        (MINE, Node("a", 4, 1), "torch 2.13.0 can't use its GPU"),
        (replace(MINE, gpus=("NVIDIA L4",)), Node("a", 4, 1), ""),
    ],
)
def test_what_keeps_a_machine_from_working(found: Software, node: Node, says: str) -> None:
    assert _difference(found, MINE, node) == says


def test_the_machines_of_a_cluster_answer(cluster: None) -> None:
    found = survey(None)
    [machine] = found.machines
    assert machine.total.cpus == 4
    assert machine.software == software()
    assert machine.store_bytes == 256 << 20
    # The tests' cluster believes in four GPUs, of which torch knows nothing.
    assert "can't use its GPU" in machine.lacks
    assert {"cpu", "gpu1", "gpu2"} <= set(found.fits)
    assert "8 GPU" not in found.lacks["gpu8"]


@pytest.mark.parametrize(
    ("taken", "free"), [({"num_cpus": 0, "num_gpus": 3}, ("cpu", "gpu1")), ({"num_cpus": 4, "num_gpus": 4}, ())]
)
def test_what_others_hold_is_not_free(cluster: None, taken: dict[str, float], free: tuple[str, ...]) -> None:
    """Half of a cluster, and all of it; where nothing is left its machines still answer."""
    others: Any = ray.remote(**taken)(Others)
    holder = others.remote()
    try:
        left = 4 - taken["num_gpus"]
        wait_until(lambda: [node.gpus for node in free_nodes()] == [left], 60, "others to hold their part")
        found = survey(None)
    finally:
        ray.kill(holder)
        wait_until(lambda: [node.gpus for node in free_nodes()] == [4], 60, "others to let go")
    [machine] = found.machines
    assert (machine.total.gpus, machine.free.gpus, machine.free.cpus) == (4, left, 4 - taken["num_cpus"])
    assert machine.software == software()
    assert {"cpu", "gpu1", "gpu2"} <= set(found.fits)
    assert found.free == free


class Others:
    """Of a run that is not ours."""


@pytest.mark.parametrize(("lacks", "code"), [("", 0), ("No module named 'tam_dist'", 5)])
def test_the_command_tells_it(
    lacks: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = (
        Machine("10.0.0.1", Node("h", 0, 0), Node("h", 0, 0), 200_000_000, replace(MINE, python="3.12")),
        Machine("10.0.0.2", Node("w", 8, 1), Node("w", 8, 0.5), 4_000_000_000, None if lacks else MINE, lacks),
    )
    found = Survey("2.60.0", machines, ("cpu", "gpu1"), ("cpu",), {"gpu2": "The cluster has 1 GPU, but …"})
    monkeypatch.setattr(module, "survey", lambda address: found)
    assert run(["doctor", "--cluster"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cluster         Ray 2.60.0, 2 machines"
    assert "8 of 8 CPUs free; 0.5 of 1 GPUs free; object store 4.0 GB" in lines[2]
    assert ("UNFIT: No module named" in lines[2]) == bool(lacks)
    assert lines[3:] == [
        "has room for    cpu, gpu1",
        "busy now for    gpu1: others hold what they need; a run waits for it",
        "not for gpu2    The cluster has 1 GPU, but …",
    ]


def test_without_a_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module.ray, "is_initialized", lambda: False)
    assert run(["doctor", "--cluster", "--address", "127.0.0.1:9"]) == 5
    assert "No Ray cluster listens at 127.0.0.1:9" in capsys.readouterr().err

"""What runs where is decided before anything is created, and what cannot run is said in a sentence."""

from __future__ import annotations

from collections import Counter

import pytest

from actors.placement import Node, for_segments, plan, worker_ids
from tam_dist.config import ClusterConfig, load_config
from tam_dist.coordination.calls import Role
from tam_dist.errors import ResourceError


def cluster(*settings: str) -> ClusterConfig:
    return load_config([f"cluster.{s}" for s in settings]).cluster


ONE_GPU = [Node("a", 8, 1)]


@pytest.mark.parametrize(("preset", "nodes"), [("gpu1", [(8, 1)]), ("gpu2", [(8, 2)]), ("gpu8", [(64, 8)]), ("cpu", [(2, 0)])])
def test_each_preset_fits_the_machine_it_is_named_after(preset: str, nodes: list[tuple[int, int]]) -> None:
    shape = cluster(f"preset={preset}")
    placed = plan(shape, [Node(str(n), *has) for n, has in enumerate(nodes)])
    assert set(placed) == {worker for ids in worker_ids(shape).values() for worker in ids}


def test_propagators_are_spread_and_decoders_and_writers_go_beside_them() -> None:
    shape = cluster("preset=gpu8", "propagators=4", "refiners=1", "decoders=4", "writers=4")
    placed = plan(shape, [Node("a", 16, 4), Node("b", 16, 4)])
    of = {role: [placed[worker] for worker in worker_ids(shape)[role]] for role in Role}
    assert Counter(of[Role.PROPAGATOR]) == {"a": 2, "b": 2}
    assert of[Role.DECODER] == of[Role.WRITER] == of[Role.PROPAGATOR]


@pytest.mark.parametrize(("beside", "node"), [("true", "a"), ("false", "b")])
def test_sam_goes_beside_xmem_or_apart(beside: str, node: str) -> None:
    shape = cluster("preset=gpu2", "gpus_per_propagator=0.5", "gpus_per_refiner=0.5", f"sam_beside_xmem={beside}")
    placed = plan(shape, [Node("a", 8, 2), Node("b", 8, 1)])
    assert placed[worker_ids(shape)[Role.PROPAGATOR][0]] == "a"
    assert placed[worker_ids(shape)[Role.REFINER][0]] == node


@pytest.mark.parametrize(
    ("settings", "nodes", "says"),
    [
        (["preset=gpu2", "propagators=2", "refiners=1", "gpus_per_refiner=0"], ONE_GPU, "has 1 GPU, but 2 propagators with 1"),
        (["preset=gpu1"], [Node("a", 8, 0)], "has 0 GPUs, but 1 propagators with 0.5 GPU each and 1 refiners"),
        (["preset=cpu", "decoders=30"], [Node("a", 4, 0)], "has 4 CPUs, but the actors asked for need"),
        (["preset=gpu1", "gpus_per_propagator=1.5"], ONE_GPU, "gpus_per_propagator is 1.5"),
        (["preset=gpu1", "gpus_per_propagator=0.6", "gpus_per_refiner=0.4", "refiners=2"], [Node("a", 8, 1)], "need 1.4"),
        # enough in sum, but no two halves of different devices make the 0.6 that the third one needs
        (["preset=gpu1", "propagators=3", "gpus_per_propagator=0.6", "gpus_per_refiner=0"], [Node("a", 8, 2)], "propagator-2"),
    ],
)
def test_what_is_missing_is_said(settings: list[str], nodes: list[Node], says: str) -> None:
    with pytest.raises(ResourceError, match=r"lower|a share of a GPU up to 1") as error:
        plan(cluster(*settings), nodes)
    assert says in str(error.value)
    assert error.value.exit_code == 5


def test_thirds_fit_one_gpu() -> None:
    shape = cluster("preset=gpu1", "propagators=3", "gpus_per_propagator=0.3333", "gpus_per_refiner=0")
    assert len(plan(shape, ONE_GPU)) == 3 + 1 + 2 + 1


def test_what_others_hold_is_not_counted() -> None:
    shape = cluster("preset=gpu1")
    with pytest.raises(ResourceError, match=r"The cluster has 0\.25 GPUs free, but 1 propagators with 0\.5 GPU each"):
        plan(shape, [Node("a", 8, 0.25)], free=True)
    busy, idle = Node("a", 8, 0.5), Node("b", 8, 1)
    assert set(plan(shape, [busy, idle], free=True).values()) == {"b"}
    halves = cluster("preset=gpu1", "propagators=3", "gpus_per_refiner=0")
    assert Counter(plan(halves, [busy, idle], free=True).values())["a"] >= 1  # its free half is of use


def test_few_segments_need_few_workers() -> None:
    shape = for_segments(cluster("preset=gpu8"), 2)
    assert (shape.propagators, shape.decoders, shape.writers) == (2, 2, 2)
    assert for_segments(cluster("preset=cpu"), 100) == cluster("preset=cpu")

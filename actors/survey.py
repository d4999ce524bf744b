"""What the machines of a cluster are and have, asked of each of them, and which presets that is enough for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.connection import cluster_address, connect
from actors.executor import cluster_nodes, free_nodes
from actors.placement import Node, ShortageError, plan
from tam_dist.config import load_config

PRESETS = ("cpu", "gpu1", "gpu2", "gpu8")
#: For a machine's answer: it starts a Python and imports torch.
ANSWER_SECONDS = 120.0


@dataclass(frozen=True)
class Software:
    """Versions, the names of the GPUs that torch can use, and the weight files of the published models that are there."""

    python: str
    ray: str
    tam_dist: str
    torch: str
    gpus: tuple[str, ...]
    weights: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """``address`` is its IP, ``store_bytes`` the size of its object store. ``lacks`` says why it can't run workers, "" where it
    can; ``software`` is None where it did not answer.
    """

    address: str
    total: Node
    free: Node
    store_bytes: int
    software: Software | None
    lacks: str = ""


@dataclass(frozen=True)
class Survey:
    """``fits``: presets that the cluster can hold, of ``PRESETS``; ``free``: those for which that much is free now; ``lacks``:
    what is missing for each of the others, in half a sentence.
    """

    ray: str
    machines: tuple[Machine, ...]
    fits: tuple[str, ...]
    free: tuple[str, ...]
    lacks: dict[str, str]


def survey(address: str | None) -> Survey:
    """Of the cluster at ``address`` (None: ``$RAY_ADDRESS``, else one of this machine). Raises :class:`ResourceError`."""
    connect(load_config([]), address=cluster_address(address) or "auto")
    mine = software()
    described = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
    totals, free = cluster_nodes(), {node.id: node for node in free_nodes()}
    asked = {node.id: _ask(node.id) for node in totals if node.id in described}
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
    machines = []
    for node in totals:
        answer, why = _answer(asked[node.id])
        machines.append(
            Machine(
                address=described[node.id]["NodeManagerAddress"],
                total=node,
                free=free.get(node.id, Node(node.id, 0, 0)),
                store_bytes=int(described[node.id]["Resources"].get("object_store_memory", 0)),
                software=answer,
                lacks=why if answer is None else _difference(answer, mine, node),
            )
        )
    fits, lacks = presets_for(totals)
    return Survey(ray.__version__, tuple(machines), fits, presets_for(list(free.values()))[0], lacks)


def presets_for(nodes: Sequence[Node]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The presets that fit, and what is missing for the others."""
    fits, lacks = [], {}
    for preset in PRESETS:
        try:
            plan(load_config([f"cluster.preset={preset}"]).cluster, nodes)
            fits.append(preset)
        except ShortageError as shortage:
            lacks[preset] = shortage.what
    return tuple(fits), lacks


def software() -> Software:
    """Of this process's machine."""
    import platform

    import torch

    from tam_dist import __version__
    from tam_dist.models.checkpoints import REGISTRY

    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    return Software(
        python=platform.python_version(),
        ray=ray.__version__,
        tam_dist=__version__,
        torch=torch.__version__,
        gpus=tuple(torch.cuda.get_device_name(n) for n in gpus),
        weights=tuple(name for name, each in REGISTRY.items() if each.path.exists()),
    )


def _ask(node: str) -> Any:
    place = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(software).options(scheduling_strategy=place).remote()


def _answer(reference: Any) -> tuple[Software | None, str]:
    ready, _ = ray.wait([reference], timeout=0)
    if not ready:
        return None, f"it did not answer within {ANSWER_SECONDS:.0f} s"
    try:
        return ray.get(reference), ""
    except RayError as error:
        return None, str(getattr(error, "cause", None) or error).strip().splitlines()[-1]


def _difference(found: Software, mine: Software, node: Node) -> str:
    """What keeps a machine's workers from running, or from giving the same masks as others."""
    wrong = [
        f"{name} {getattr(found, field)}, here {getattr(mine, field)}"
        for name, field in (("tam-dist", "tam_dist"), ("Ray", "ray"), ("Python", "python"))
        if getattr(found, field) != getattr(mine, field)
    ]
    if node.gpus and not found.gpus:
        wrong.append(f"torch {found.torch} can't use its GPU")
    return "; ".join(wrong)

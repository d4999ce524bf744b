"""What runs where: whether the cluster can hold the workers at all, and the node each of them goes to.

Ray itself would wait for ever for a GPU that no node has, and would pack CPU actors wherever there is room. So the plan is
made here, as plain code over a list of nodes, before any actor is created.

Placement groups of Ray would reserve the same in one piece, but wait for ever, too, where something is missing, and do not
say what it is; they reserve a whole run's workers, while a run of few videos makes fewer; and a bundle whose machine was
lost comes back only where all of it fits, while single actors go wherever there is room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tam_dist.config import ClusterConfig
from tam_dist.coordination.calls import Role, WorkerId
from tam_dist.errors import ResourceError

#: CPUs that an actor reserves. Small, so that one video's actors fit a machine with two; decoding is what really uses one.
CPUS = {Role.DECODER: 0.5, Role.PROPAGATOR: 0.25, Role.REFINER: 0.25, Role.WRITER: 0.25}
#: Bookkeeping in fractions of a device must not fail on the last bit: 3 x 0.3333 fit one GPU.
_EPSILON = 1e-3


@dataclass(frozen=True)
class Node:
    """A live machine of the cluster and what it has: in all, or what is free of it."""

    id: str
    cpus: float
    gpus: float


class ShortageError(ResourceError):
    """Resources are missing. ``what`` says which, without a full stop; the message adds what would help."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}.")
        self.what = what


Plan = Mapping[WorkerId, str]
"""The node of every worker."""


def gpu_share(cluster: ClusterConfig, role: Role) -> float:
    """GPUs that an actor of ``role`` holds; decoders and writers hold none."""
    match role:
        case Role.PROPAGATOR:
            return cluster.gpus_per_propagator
        case Role.REFINER:
            return cluster.gpus_per_refiner
        case _:
            return 0.0


def worker_ids(cluster: ClusterConfig) -> dict[Role, list[WorkerId]]:
    """All workers that the settings name."""
    counts = {
        Role.PROPAGATOR: cluster.propagators,
        Role.REFINER: cluster.refiners,
        Role.DECODER: cluster.decoders,
        Role.WRITER: cluster.writers,
    }
    return {role: [WorkerId(role, n) for n in range(count)] for role, count in counts.items()}


def cpus_needed(cluster: ClusterConfig) -> float:
    """CPUs that all actors together reserve.

    >>> from tam_dist.config import load_config
    >>> cpus_needed(load_config().cluster)
    1.75
    """
    return sum(CPUS[role] * len(ids) for role, ids in worker_ids(cluster).items())


def for_segments(cluster: ClusterConfig, segments: int) -> ClusterConfig:
    """The workers that videos of so many segments together can use: of no role more than there are segments. (By the number of
    videos, one film by its shots had one propagator of eight.)
    """
    return replace(
        cluster,
        propagators=min(cluster.propagators, segments),
        refiners=min(cluster.refiners, segments),
        decoders=min(cluster.decoders, segments),
        writers=min(cluster.writers, segments),
    )


def plan(cluster: ClusterConfig, nodes: Sequence[Node], *, free: bool = False) -> Plan:
    """The node of each worker.

    Propagators are spread over the nodes with the most free GPUs. Refiners go to the propagators' nodes, or with
    ``cluster.sam_beside_xmem`` off to the nodes with the fewest propagators. The decoders and writers that a propagator's
    videos use (those with its number) go beside it.

    ``free``: the nodes are given with what is free of them. Raises :class:`ShortageError`, in one sentence, where something is
    missing, :class:`ResourceError` where a share of a GPU is none.
    """
    _check_shares(cluster)
    _check_totals(cluster, nodes, " free" if free else "")
    left = {node.id: _Left(node) for node in nodes}
    workers = worker_ids(cluster)
    placed: dict[WorkerId, str] = {}
    for worker in workers[Role.PROPAGATOR]:
        placed[worker] = _take(left, worker, cluster, wish=_spread(placed, left))
    homes = [placed[worker] for worker in workers[Role.PROPAGATOR]]
    for worker in workers[Role.REFINER]:
        wish = [homes[worker.number % len(homes)]] if cluster.sam_beside_xmem else []
        placed[worker] = _take(left, worker, cluster, wish=wish + _apart(homes, left))
    for role in (Role.DECODER, Role.WRITER):
        for worker in workers[role]:
            placed[worker] = _take(left, worker, cluster, wish=[homes[worker.number % len(homes)]])
    return placed


class _Left:
    """What a node has left while the plan is made. GPUs are kept one by one: a half on each of two is not a whole one. Of those
    that are free only in part Ray tells the sum, which is taken for one device.
    """

    def __init__(self, node: Node) -> None:
        self.cpus = node.cpus
        self.devices = [1.0] * int(node.gpus + _EPSILON)
        if node.gpus - len(self.devices) > _EPSILON:
            self.devices.append(node.gpus - len(self.devices))

    @property
    def gpus(self) -> float:
        return sum(self.devices)

    def take(self, cpus: float, gpus: float) -> bool:
        """Reserve, if there is room."""
        whole = [n for n, left in enumerate(self.devices) if left > 1 - _EPSILON]
        shared = [n for n, left in enumerate(self.devices) if left + _EPSILON >= gpus]
        chosen = whole[: int(gpus)] if gpus >= 1 else sorted(shared, key=lambda n: self.devices[n])[: int(gpus > 0)]
        if self.cpus + _EPSILON < cpus or len(chosen) < gpus:
            return False
        self.cpus -= cpus
        for n in chosen:
            self.devices[n] -= min(gpus, 1.0)
        return True


def _spread(placed: Plan, left: Mapping[str, _Left]) -> list[str]:
    """Nodes with the most free GPUs first, then those with the fewest workers."""
    used = list(placed.values())
    return sorted(left, key=lambda node: (-left[node].gpus, used.count(node)))


def _apart(homes: Sequence[str], left: Mapping[str, _Left]) -> list[str]:
    """Nodes with the fewest propagators first."""
    return sorted(left, key=lambda node: (homes.count(node), -left[node].gpus))


def _take(left: Mapping[str, _Left], worker: WorkerId, cluster: ClusterConfig, *, wish: Sequence[str]) -> str:
    """The first node with room, those wished for first."""
    gpus = gpu_share(cluster, worker.role)
    for node in [*wish, *(n for n in left if n not in wish)]:
        if left[node].take(CPUS[worker.role], gpus):
            return node
    raise ShortageError(
        f"No node has {needs(cluster, worker.role)} left for {worker}",
        f"lower cluster.{worker.role}s or its share of a GPU, or add nodes",
    )


def needs(cluster: ClusterConfig, role: Role) -> str:
    """What an actor reserves, in words.

    >>> from tam_dist.config import load_config
    >>> needs(load_config(["cluster.preset=gpu2"]).cluster, Role.REFINER)
    '1 GPU and 0.25 CPU'
    """
    gpus = gpu_share(cluster, role)
    return f"{gpus:g} GPU and {CPUS[role]:g} CPU" if gpus else f"{CPUS[role]:g} CPU"


def _check_shares(cluster: ClusterConfig) -> None:
    for role in (Role.PROPAGATOR, Role.REFINER):
        share = gpu_share(cluster, role)
        if share < 0 or (share > 1 and share != int(share)):
            raise ResourceError(f"cluster.gpus_per_{role} is {share:g}: a share of a GPU up to 1, or a whole number of GPUs.")


def _check_totals(cluster: ClusterConfig, nodes: Sequence[Node], free: str) -> None:
    gpus = sum(node.gpus for node in nodes)
    cpus = sum(node.cpus for node in nodes)
    needed = {role: len(ids) * gpu_share(cluster, role) for role, ids in worker_ids(cluster).items()}
    if sum(needed.values()) > gpus + _EPSILON:
        parts = [
            f"{len(worker_ids(cluster)[role])} {role}s with {gpu_share(cluster, role):g} GPU each"
            for role, amount in needed.items()
            if amount
        ]
        raise ShortageError(
            f"The cluster has {_count(gpus, 'GPU')}{free}, but {' and '.join(parts)} need {sum(needed.values()):g}",
            "lower cluster.propagators or cluster.refiners, give each a smaller share, or use cluster.preset=cpu",
        )
    if cpus_needed(cluster) > cpus + _EPSILON:
        raise ShortageError(
            f"The cluster has {_count(cpus, 'CPU')}{free}, but the actors asked for need {cpus_needed(cluster):g}",
            "lower cluster.propagators, cluster.refiners, cluster.decoders or cluster.writers",
        )


def _count(amount: float, unit: str) -> str:
    return f"{amount:g} {unit}{'' if amount == 1 else 's'}"

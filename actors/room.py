"""Waiting until a cluster has room for a run's workers: until others end, or an autoscaler has added machines."""

from __future__ import annotations

import threading
import time
from typing import Any

from ray.util import placement_group, remove_placement_group

from actors.executor import free_nodes
from actors.placement import CPUS, ShortageError, gpu_share, plan, worker_ids
from tam_dist.config import ClusterConfig
from tam_dist.coordination.events import Listener, Waiting
from tam_dist.errors import ResourceError
from tam_dist.running import STOP_POLL_SECONDS

#: For others on the cluster to free what the workers need.
ROOM_SECONDS = 60.0


def wait_for_room(cluster: ClusterConfig, tell: Listener, stop: threading.Event | None = None) -> bool:
    """Until the cluster has the workers' resources free, which the end of another run may just be giving back; False where
    ``stop`` was set before. Ray would wait for ever and say nothing.

    With ``cluster.grow_seconds`` an autoscaler is asked for what is missing. Raises :class:`ResourceError` after that time, or
    :data:`ROOM_SECONDS`, whichever is longer.
    """
    deadline = time.monotonic() + max(ROOM_SECONDS, cluster.grow_seconds)
    request = _Request(cluster) if cluster.grow_seconds else None
    try:
        while stop is None or not stop.is_set():
            try:
                plan(cluster, free_nodes(), free=True)
            except ShortageError as shortage:
                if time.monotonic() > deadline:
                    raise ResourceError(_given_up(shortage, cluster)) from shortage
                if request is not None and request.met():
                    return True
                wish = "free resources on the cluster" if request is None else "the cluster to grow"
                tell(Waiting(f"{wish} ({_lower(shortage.what)})"))
                time.sleep(STOP_POLL_SECONDS)
            else:
                return True
        return False
    finally:
        if request is not None:
            request.withdraw()


class _Request:
    """For the workers' resources, to an autoscaler: a placement group that waits, which it adds machines for.

    Its ``request_resources`` would be simpler, but the newest call replaces those of other runs, and it counts machines that
    are in use by others. What the group reserves is given back at once when it is there; the workers take it.
    """

    def __init__(self, cluster: ClusterConfig) -> None:
        self._bundles = [
            {"CPU": CPUS[role]} | ({"GPU": gpu_share(cluster, role)} if gpu_share(cluster, role) else {})
            for role, ids in worker_ids(cluster).items()
            for _ in ids
        ]
        self._group: Any = None

    def met(self) -> bool:
        """Whether all of it is there; asks for it the first time."""
        if self._group is None:
            self._group = placement_group(self._bundles, strategy="PACK")
        return bool(self._group.wait(timeout_seconds=0))

    def withdraw(self) -> None:
        if self._group is not None:
            remove_placement_group(self._group)


def _given_up(shortage: ShortageError, cluster: ClusterConfig) -> str:
    sentence = str(shortage).rstrip(".")
    if not cluster.grow_seconds:
        return f"{sentence}; or wait until others on the cluster have ended."
    return (
        f"{sentence}; no machine came within {cluster.grow_seconds:g} s: look at the autoscaler's limits and log (ray status), "
        "or raise cluster.grow_seconds."
    )


def _lower(sentence: str) -> str:
    """Inside another one."""
    return sentence[0].lower() + sentence[1:]

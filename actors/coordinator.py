"""The coordinator's actor: one schedule a namespace, shared by all drivers that find it by its name."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Sequence
from typing import Any

import ray

from actors.executor import ACTORS, ActorClasses, RayExecutor
from actors.shell import ActorStats, resident_bytes
from tam_dist.config import Config
from tam_dist.coordination.calls import WorkerId
from tam_dist.coordination.events import Listener
from tam_dist.coordination.mailboxes import EventBatch
from tam_dist.coordination.service import LEASE_SECONDS, Service, ServiceStatus
from tam_dist.coordination.video import VideoJob
from tam_dist.logs import set_up_logs
from tam_dist.monitoring.metrics import RayMetrics

#: Its name in the namespace.
NAME = "coordinator"
NAMESPACE = "tam-dist"
#: Drivers that wait for news at once; each takes a thread meanwhile.
MAX_CALLERS = 64


class Coordinator:
    """Methods are those of :class:`tam_dist.coordination.service.Service`, whose thread is a daemon: since Ray 2.57 another
    one would keep the process from ending.

    It outlives the driver that made it (Ray: a detached actor), since others may use it, but only by its lease, unless
    ``detached``. The worker actors are its own and end with it.
    """

    def __init__(
        self,
        config: Config,
        *,
        detached: bool = False,
        lease: float = LEASE_SECONDS,
        actors: ActorClasses = ACTORS,
        listeners: Sequence[Listener] = (),
    ) -> None:
        set_up_logs()
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # Payloads of failed calls are dropped unread, which is right; Ray would print a traceback for each.
        os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"
        context = ray.get_runtime_context()
        self._me = context.current_actor
        owner = f"ray/{context.get_session_name()}/{context.namespace}"
        self._executor = RayExecutor(config, owner=owner, actors=actors)
        self._service = Service(self._executor, config, detached=detached, lease=lease, listeners=(RayMetrics(), *listeners))
        threading.Thread(target=self._serve, name="coordinator", daemon=True).start()

    def submit(self, driver: str, jobs: Sequence[VideoJob], config: Config) -> None:
        self._service.submit(driver, jobs, config)

    def events(self, driver: str, after: int, timeout: float) -> EventBatch:
        return self._service.events(driver, after, timeout)

    def leave(self, driver: str) -> None:
        self._service.leave(driver)

    def stop(self, videos: Collection[str] | None = None) -> None:
        self._service.stop(videos)

    def cancel(self, video: str) -> None:
        self._service.cancel(video)

    def refresh(self, video: str) -> None:
        self._service.refresh(video)

    def pause(self, video: str) -> None:
        self._service.pause(video)

    def unpause(self, video: str) -> None:
        self._service.unpause(video)

    def drain(self) -> None:
        self._service.drain()

    def shut_down(self) -> None:
        self._service.shut_down()

    def idle(self) -> bool:
        return self._service.idle

    def status(self) -> ServiceStatus:
        return self._service.status()

    def stats(self) -> dict[WorkerId, ActorStats]:
        """Every worker's process, of those that answer."""
        return self._executor.stats()

    def unplaced(self) -> list[WorkerId]:
        """Workers that no machine has room for."""
        return self._executor.unplaced()

    def resident_bytes(self) -> int:
        return resident_bytes()

    def pid(self) -> int:
        return os.getpid()

    def _serve(self) -> None:
        try:
            self._service.serve()
        finally:
            ray.kill(self._me)


def coordinator(
    namespace: str,
    config: Config,
    *,
    detached: bool = False,
    lease: float = LEASE_SECONDS,
    actors: ActorClasses = ACTORS,
    listeners: Sequence[Listener] = (),
) -> Any:
    """A handle of the namespace's coordinator, made with these settings if there is none."""
    actor_class = ray.remote(Coordinator)
    return actor_class.options(
        name=NAME,
        namespace=namespace,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=0,
        max_concurrency=MAX_CALLERS,
    ).remote(config, detached=detached, lease=lease, actors=actors, listeners=tuple(listeners))


def find_coordinator(namespace: str = NAMESPACE) -> Any | None:
    """The namespace's coordinator, if there is one."""
    try:
        return ray.get_actor(NAME, namespace=namespace)
    except ValueError:
        return None

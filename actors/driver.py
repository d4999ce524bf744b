"""Running jobs on Ray from an ordinary process: connect, hand the jobs to the coordinator, listen until they have ended."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayError

from actors.coordinator import NAMESPACE, coordinator, find_coordinator
from actors.executor import ACTORS, ActorClasses, cluster_nodes, free_nodes, translate
from actors.placement import cpus_needed, for_videos, plan
from tam_dist.config import ClusterConfig, Config
from tam_dist.coordination.events import ChunkCommitted, Event, Listener, VideoEnded
from tam_dist.coordination.mailboxes import GivenUpError
from tam_dist.coordination.service import LEASE_SECONDS
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.errors import ConfigError, ResourceError, TamDistError
from tam_dist.running import STOP_POLL_SECONDS, Cancelled, Outcome, OutcomeCollector

log = logging.getLogger(__name__)

#: Coordinators in a row that may die without a new chunk being stored before the run is given up.
MAX_COORDINATOR_DEATHS = 5
#: For how long a coordinator that Ray believes to live may be out of reach.
MAX_SILENCE_SECONDS = 180.0
#: News are fetched at most so often, so that a large cluster's come in batches.
_POLL_SECONDS = 0.05
_MIN_STORE_BYTES = 256 << 20
#: Ray tells its user of tokens and addresses otherwise; what goes wrong with it we say ourselves.
_RAY_LOGS = logging.ERROR
#: For others on the cluster to free what the workers need.
ROOM_SECONDS = 60.0
#: For a first sign of life from a cluster's address.
CONNECT_SECONDS = 5.0


def run_on_ray(
    jobs: Sequence[VideoJob],
    config: Config,
    *,
    address: str | None = None,
    namespace: str = NAMESPACE,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    cancelled: Cancelled | None = None,
    detach: bool = False,
    lease: float = LEASE_SECONDS,
    actors: ActorClasses = ACTORS,
) -> list[Outcome]:
    """Track ``jobs`` on the cluster at ``address`` (None: ``$RAY_ADDRESS``, else a local Ray, started in this process).

    ``listener`` hears of this run's videos, in the calling thread. ``stop``, once set, ends the run after the chunks under
    way. With ``detach`` the run goes on if this process ends; otherwise it stops, saved, ``lease`` seconds later. Where the
    coordinator dies another is made, and continues from the checkpoints.

    Raises :class:`ResourceError` where the cluster cannot hold the workers, :class:`ConfigError` where a coordinator is busy
    with other settings, :class:`TamDistError` where the cluster is lost.
    """
    connect(config, jobs, address)
    config = fit(config)
    plan(config.cluster, cluster_nodes())  # before anything is created
    # The workers of a coordinator that is there hold what they need.
    if find_coordinator(namespace) is None and not wait_for_room(for_videos(config.cluster, len(jobs)), stop):
        return [Outcome(job.project, VideoState.STOPPED) for job in jobs]
    run = _Run(jobs, config, namespace, listener, detach, lease, actors)
    try:
        return run.until_ended(stop, cancelled)
    except RayError as error:
        raise TamDistError(
            f"The Ray cluster was lost, {str(error).splitlines()[0]}; the projects are intact, resume when it is back."
        ) from error


def connect(config: Config, jobs: Sequence[VideoJob] = (), address: str | None = None) -> None:
    """Connect to Ray, unless this process is connected already."""
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers otherwise
    # Under `uv run` Ray would start each worker through uv, which was seen to hang.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    if address == "local":
        # Freed objects linger for a second by default: 72 chunks of 20 MB were seen where 8 were in use.
        os.environ.setdefault("RAY_free_objects_period_milliseconds", "100")
        # Ray runs workers at niceness 15: beside other busy processes they got a twentieth of the time that the same work
        # got without Ray. Tracking is what the user asked for, not background work.
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, math.ceil(cpus_needed(config.cluster))),
            object_store_memory=store_bytes(config, jobs),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=_RAY_LOGS,
        )
        return
    _check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=_RAY_LOGS)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ResourceError(
            f"The Ray cluster at {address} did not let us in ({str(error).splitlines()[0]}): check --address or RAY_ADDRESS, "
            "its version of Ray, and the token (RAY_AUTH_TOKEN or ~/.ray/auth_token must be as where it was started)."
        ) from error


def _check_address(address: str) -> None:
    """Ray tries for two minutes to reach an address where nobody listens. Raises :class:`ResourceError`."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in address or not port.isdigit():
        return  # "auto", or a form that is for Ray to judge
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ResourceError(
            f"No Ray cluster listens at {address} ({error.strerror or error}): check --address or RAY_ADDRESS."
        ) from error


def fit(config: Config) -> Config:
    """With ``cluster.preset=auto``, a cluster without GPUs runs everything on CPUs."""
    if config.cluster.preset != "auto" or any(node.gpus for node in cluster_nodes()):
        return config
    return replace(config, cluster=replace(config.cluster, gpus_per_propagator=0.0, gpus_per_refiner=0.0))


def store_bytes(config: Config, jobs: Sequence[VideoJob]) -> int:
    """The size of a local Ray's object store: twice what the credits let the videos under way hold, with as many chunks again
    that were freed within the last moment.
    """
    if config.cluster.object_store_gb:
        return int(config.cluster.object_store_gb * 1e9)
    specs = [job.spec for job in jobs]
    chunk = max((3 * s.width * s.height * s.chunk_size for s in specs), default=0)
    videos = min(len(specs), config.cluster.propagators * config.cluster.sessions_per_propagator)
    held = videos * (config.credits.decoded_chunks + 1 + config.credits.writes)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_MIN_STORE_BYTES, min(2 * held * chunk, int(0.4 * memory)))


def wait_for_room(cluster: ClusterConfig, stop: threading.Event | None = None) -> bool:
    """Until the cluster has the workers' resources free, which the end of another run may just be giving back; False where
    ``stop`` was set before. Ray would wait for ever and say nothing. Raises :class:`ResourceError` after :data:`ROOM_SECONDS`.
    """
    deadline = time.monotonic() + ROOM_SECONDS
    while stop is None or not stop.is_set():
        try:
            plan(cluster, free_nodes(), free=True)
        except ResourceError as error:
            if time.monotonic() > deadline:
                raise ResourceError(f"{str(error).rstrip('.')}; or wait until others on the cluster have ended.") from error
            time.sleep(STOP_POLL_SECONDS)
        else:
            return True
    return False


class _Run:
    """One driver's jobs, until all have ended."""

    def __init__(
        self,
        jobs: Sequence[VideoJob],
        config: Config,
        namespace: str,
        listener: Listener | None,
        detach: bool,
        lease: float,
        actors: ActorClasses,
    ) -> None:
        self._jobs = {job.project: job for job in jobs}
        self._config = config
        self._namespace = namespace
        self._listener = listener
        self._detach = detach
        self._lease = lease
        self._actors = actors
        self._driver = uuid.uuid4().hex
        self._outcomes = OutcomeCollector()
        self._open = set(self._jobs)
        self._next = 0
        self._deaths = 0
        self._silent_since: float | None = None
        self._stopped = False  # whether this coordinator was told to
        self._to_cancel: set[str] = set()

    def until_ended(self, stop: threading.Event | None, cancelled: Cancelled | None) -> list[Outcome]:
        handle: Any = None
        while self._open:
            try:
                if handle is None:
                    handle = self._join()
                if stop is not None and stop.is_set() and not self._stopped:
                    self._call(handle.stop, sorted(self._open))
                    self._stopped = True
                self._to_cancel.update(cancelled() if cancelled is not None else ())
                for video in self._to_cancel & self._open:
                    self._call(handle.cancel, video)
                    self._to_cancel.discard(video)
                self._listen(handle)
            except GivenUpError:  # this process stood still for long; the coordinator may be about to end
                handle = None
                time.sleep(_POLL_SECONDS)
            except ActorUnavailableError as error:
                self._on_coordinator_silence(error)
            except RayActorError as error:
                handle = None
                self._on_coordinator_death(error)
            else:
                self._silent_since = None
        if handle is not None:
            handle.leave.remote(self._driver)
        return [self._outcomes.of(job) for job in self._jobs.values()]

    def _join(self) -> Any:
        """Find or make the coordinator and give it the jobs. One that is idle with other settings is replaced."""
        jobs = [self._jobs[project] for project in sorted(self._open)]
        while True:
            handle = coordinator(self._namespace, self._config, detached=self._detach, lease=self._lease, actors=self._actors)
            try:
                self._call(handle.submit, self._driver, jobs, self._config)
            except ConfigError:
                if not self._call(handle.idle):
                    raise
                self._call(handle.shut_down)
                _wait_for_end(handle)
            else:
                self._next = 0
                self._stopped = False
                return handle

    def _listen(self, handle: Any) -> None:
        batch = self._call(handle.events, self._driver, self._next, STOP_POLL_SECONDS)
        self._next = batch.next
        for event in batch.events:
            self._hear(event)
        if batch.events and self._open:
            time.sleep(_POLL_SECONDS)

    def _hear(self, event: Event) -> None:
        match event:
            case VideoEnded():
                self._open.discard(event.video)
                self._outcomes(event)
                self._deaths = 0
            case ChunkCommitted(new=True):
                self._deaths = 0
        if self._listener is not None:
            self._listener(event)

    def _on_coordinator_silence(self, error: RayActorError) -> None:
        """Its machine was lost, or the way to it for a moment. Ray takes half a minute to tell, and then calls it dead."""
        now = time.monotonic()
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since > MAX_SILENCE_SECONDS:
            raise ResourceError(
                f"The coordinator was not reached for {MAX_SILENCE_SECONDS:.0f} s: look at the cluster's network, then resume."
            ) from error
        time.sleep(STOP_POLL_SECONDS)

    def _on_coordinator_death(self, error: RayActorError) -> None:
        self._deaths += 1
        log.warning("the coordinator died, another one goes on from the checkpoints: %s", str(error).splitlines()[0])
        if self._deaths >= MAX_COORDINATOR_DEATHS:
            raise ResourceError(
                f"The coordinator died {self._deaths} times in a row: look at the machine's memory and Ray's logs, then resume."
            ) from error
        time.sleep(_POLL_SECONDS * 2**self._deaths)

    @staticmethod
    def _call(method: Any, *arguments: Any) -> Any:
        """Call the coordinator; what it raises is raised here as itself."""
        try:
            return ray.get(method.remote(*arguments))
        except ray.exceptions.RayTaskError as error:
            raise translate(error) from None


def _wait_for_end(handle: Any) -> None:
    """Until the actor is dead and its name free."""
    while True:
        try:
            ray.get(handle.pid.remote())
        except ActorDiedError:
            return
        except RayActorError:
            pass
        time.sleep(_POLL_SECONDS)

"""Running jobs on Ray from an ordinary process: connect, hand the jobs to the coordinator, listen until they have ended."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayError

from actors.connection import cluster_address, connect, keep_logs
from actors.coordinator import NAMESPACE, coordinator, find_coordinator
from actors.executor import ACTORS, ActorClasses, cluster_nodes, translate
from actors.placement import for_segments, needs, plan
from actors.room import wait_for_room
from tam_dist.config import Config
from tam_dist.coordination.calls import WorkerId
from tam_dist.coordination.events import ChunkCommitted, Event, Listener, VideoEnded, VideoStarted, Waiting, all_of
from tam_dist.coordination.feed import JobFeed
from tam_dist.coordination.mailboxes import GivenUpError
from tam_dist.coordination.service import LEASE_SECONDS
from tam_dist.coordination.video import VideoJob, VideoState
from tam_dist.errors import ConfigError, ResourceError, TamDistError, VideoError
from tam_dist.running import STOP_POLL_SECONDS, AskRequests, Outcome, OutcomeCollector, PendingRequests

log = logging.getLogger(__name__)

#: Coordinators in a row that may die without a new chunk being stored before the run is given up.
MAX_COORDINATOR_DEATHS = 5
#: For how long a coordinator that Ray believes to live may be out of reach.
MAX_SILENCE_SECONDS = 180.0
#: News are fetched at most so often, so that a large cluster's come in batches.
_POLL_SECONDS = 0.05
#: Between two looks at whether all workers have a place.
PLACE_SECONDS = 10.0


def run_on_ray(
    jobs: Sequence[VideoJob],
    config: Config,
    *,
    address: str | None = None,
    namespace: str = NAMESPACE,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    requests: AskRequests | None = None,
    more: JobFeed | None = None,
    detach: bool = False,
    lease: float = LEASE_SECONDS,
    actors: ActorClasses = ACTORS,
) -> list[Outcome]:
    """Track ``jobs``, at least one, and those that ``more`` brings meanwhile, on the cluster at ``address`` (None:
    ``$RAY_ADDRESS``, else a local Ray, started in this process).

    ``listener`` hears of this run's videos, in the calling thread. ``stop``, once set, ends the run after the chunks under
    way. With ``detach`` the run goes on if this process ends; otherwise it stops, saved, ``lease`` seconds later. Where the
    coordinator dies another is made, and continues from the checkpoints.

    Raises :class:`ResourceError` where the cluster cannot hold the workers, :class:`ConfigError` where a coordinator is busy
    with other settings, :class:`TamDistError` where the cluster is lost.
    """
    # Those to come are taken to be like the first where a size must be chosen now.
    alike = [*jobs, *repeat(jobs[0], more.expected)] if more is not None else list(jobs)
    tell = all_of() if listener is None else listener
    if not ray.is_initialized():
        cluster = cluster_address(address)
        tell(Waiting("Ray to start" if cluster is None else f"the Ray cluster at {cluster}"))
        connect(config, alike, address)
    config = fit(config)
    if not config.cluster.grow_seconds:
        plan(config.cluster, cluster_nodes())  # before anything is created
    try:
        # The workers of a coordinator that is there hold what they need.
        wanted = for_segments(config.cluster, sum(job.segments for job in alike))
        if find_coordinator(namespace) is None and not wait_for_room(wanted, tell, stop):
            return [Outcome(job.project, VideoState.STOPPED) for job in jobs]
        tell(Waiting("the models to load"))
        outcomes = _Run(jobs, config, namespace, tell, detach, lease, actors, more).until_ended(stop, requests)
    except RayError as error:
        keep_logs()
        raise TamDistError(
            f"The Ray cluster was lost, {str(error).splitlines()[0]}; the projects are intact, resume when it is back."
        ) from error
    except ResourceError:
        keep_logs()
        raise
    if any(outcome.error is not None and not isinstance(outcome.error, VideoError) for outcome in outcomes):
        keep_logs()
    return outcomes


def fit(config: Config) -> Config:
    """With ``cluster.preset=auto``, a cluster without GPUs runs everything on CPUs."""
    if config.cluster.preset != "auto" or any(node.gpus for node in cluster_nodes()):
        return config
    return replace(config, cluster=replace(config.cluster, gpus_per_propagator=0.0, gpus_per_refiner=0.0))


class _Run:
    """One driver's jobs, until all have ended."""

    def __init__(
        self,
        jobs: Sequence[VideoJob],
        config: Config,
        namespace: str,
        tell: Listener,
        detach: bool,
        lease: float,
        actors: ActorClasses,
        more: JobFeed | None = None,
    ) -> None:
        self._more = more
        self._unsent: set[str] = set()
        self._jobs = {job.project: job for job in jobs}
        self._config = config
        self._namespace = namespace
        self._tell = tell
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
        self._started = False
        self._places_due = time.monotonic() + PLACE_SECONDS
        self._unplaced: frozenset[WorkerId] = frozenset()

    def until_ended(self, stop: threading.Event | None, requests: AskRequests | None) -> list[Outcome]:
        handle: Any = None
        asked = PendingRequests(requests, self._outcomes)
        while self._open or self._expects_more() or (not self._stopped and asked.look().again):
            try:
                if handle is None:
                    handle = self._join()
                if not self._stopped:
                    self._run_again(asked)
                if self._expects_more() or self._unsent:
                    self._submit_more(handle)
                if stop is not None and stop.is_set() and not self._stopped:
                    self._call(handle.stop, sorted(self._open))
                    self._stopped = True
                asked.look()
                for video in asked.cancel & self._open:
                    self._call(handle.cancel, video)
                    asked.cancel.discard(video)
                for video in asked.refresh & self._open:
                    self._call(handle.refresh, video)
                    asked.told(video)
                self._listen(handle)
                self._look_at_places(handle)
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

    def _expects_more(self) -> bool:
        return self._more is not None and not self._stopped and self._more.expected > 0

    def _run_again(self, asked: PendingRequests) -> None:
        for video in asked.again:
            asked.forget(video)
            self._open.add(video)
            self._unsent.add(video)

    def _submit_more(self, handle: Any) -> None:
        jobs = self._more.take(0.0 if self._open else STOP_POLL_SECONDS) if self._more is not None else ()
        new = {job.project: job for job in jobs}
        self._jobs.update(new)
        self._open.update(new)
        self._unsent.update(new)  # a call that fails is made again, to this coordinator or in joining the next
        if self._unsent:
            self._call(handle.submit, self._driver, [self._jobs[project] for project in sorted(self._unsent)], self._config)
            self._unsent.clear()

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
                self._unsent.clear()
                return handle

    def _listen(self, handle: Any) -> None:
        batch = self._call(handle.events, self._driver, self._next, STOP_POLL_SECONDS)
        self._next = batch.next
        for event in batch.events:
            self._hear(event)
        if batch.events and self._open:
            time.sleep(_POLL_SECONDS)

    def _look_at_places(self, handle: Any) -> None:
        """Tell of workers that no machine has room for, as after one was lost: Ray would wait for ever and say nothing. Those
        that had none at the look before, too, since the next moment often brings one.
        """
        if time.monotonic() < self._places_due:
            return
        self._places_due = time.monotonic() + PLACE_SECONDS
        before = self._unplaced
        self._unplaced = frozenset(self._call(handle.unplaced))
        waiting = sorted(before & self._unplaced, key=str)
        if not waiting:
            return
        what = ", ".join(f"{worker} ({needs(self._config.cluster, worker.role)})" for worker in waiting)
        if self._started:
            log.warning("no machine has room for %s; the others go on", what)
        else:
            self._tell(Waiting(f"a machine with room for {what}"))

    def _hear(self, event: Event) -> None:
        match event:
            case VideoStarted():
                self._started = True
            case VideoEnded():
                self._open.discard(event.video)
                self._outcomes(event)
                self._deaths = 0
            case ChunkCommitted(new=True):
                self._deaths = 0
        self._tell(event)

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

"""What all worker actors share. The work itself is in :mod:`tam_dist.workers`; nothing here knows about videos or models."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass

import ray

from tam_dist.config import Config
from tam_dist.coordination.calls import Call, Payload, Receipt, Role, Worker, abandon
from tam_dist.errors import TamDistError
from tam_dist.logs import set_up_logs

#: A second lane, so that an actor answers while it works.
CONTROL = "control"


@dataclass(frozen=True)
class ActorSetup:
    """``gpus``: the share of a GPU the actor holds. ``owner`` names the coordinator whose writers take over one another's
    locks (see :func:`storage.lock.acquire`).
    """

    config: Config
    gpus: float
    owner: str


@dataclass(frozen=True)
class ActorStats:
    """One actor's process. ``reconstructed``: restarted after a death; ``threads``: torch's, 0 where torch is not used."""

    pid: int
    node: str
    resident_bytes: int
    calls: int
    reconstructed: bool
    threads: int
    visible_gpus: str | None


class WorkerActor(ABC):
    """A worker in a process of its own.

    Constructor arguments are all that a restart gets: Ray runs the constructor again, and nothing else. What is wrong with
    the settings (a missing weight file) is told by every call, as an inline worker does; raised here, Ray would turn it into
    the text of an ``ActorDiedError``.
    """

    role: Role

    def __init__(self, setup: ActorSetup) -> None:
        if not setup.gpus:
            # Ray leaves the variable alone for actors without GPUs, and they would see, and open a context on, all of
            # them. Set here, before anything imports CUDA, it costs nothing; as a runtime_env it costs a second a process.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        set_up_logs()
        self._calls = 0
        self._worker: Worker | None = None
        self._failure: TamDistError | None = None
        try:
            self._worker = self.build(setup)
        except TamDistError as error:
            self._failure = error

    @abstractmethod
    def build(self, setup: ActorSetup) -> Worker:
        """The worker proper; its imports belong inside."""

    @ray.method(num_returns=2)
    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        """Two results: the receipt goes to the coordinator, the payload stays where it is. Values are returned, never
        ``ray.put``: an actor's own puts die with it.
        """
        if self._failure is not None:
            raise self._failure
        assert self._worker is not None
        self._calls += 1
        return self._worker.run(call, *payloads)

    @ray.method(concurrency_group=CONTROL)
    def ping(self) -> int:
        """The process id, once the worker can take calls."""
        return os.getpid()

    @ray.method(concurrency_group=CONTROL)
    def abandon(self, generation: int) -> None:
        """Let a session's call end between two frames, while it runs."""
        abandon(self._worker, generation)

    @ray.method(concurrency_group=CONTROL)
    def stats(self) -> ActorStats:
        context = ray.get_runtime_context()
        return ActorStats(
            pid=os.getpid(),
            node=context.get_node_id(),
            resident_bytes=resident_bytes(),
            calls=self._calls,
            reconstructed=bool(context.was_current_actor_reconstructed),
            threads=_torch_threads(),
            visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
        )

    @ray.method(concurrency_group=CONTROL)
    def close(self) -> None:
        """Free locks and files before the process ends."""
        if self._worker is not None:
            self._worker.close()


def limit_gpu_memory(share: float) -> None:
    """Ray's fractions of a GPU are bookkeeping only; this makes torch keep to them. Called before the model is loaded."""
    if not 0 < share < 1:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def resident_bytes() -> int:
    """This process's private resident memory: without the object store's pages, which are shared and belong to no actor."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        resident, shared = (int(field) for field in statm.read().split()[1:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _torch_threads() -> int:
    import sys

    torch = sys.modules.get("torch")
    return 0 if torch is None else int(torch.get_num_threads())

"""One writer a project.

On a disk: ``flock`` on ``<project>/.lock``, which the kernel releases however the process ends. On an object store: a lease,
``.lock``, that its owner renews and that counts as abandoned when it was not renewed for a minute.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from storage.location import LocalLocation, Location, ObjectLocation, storage_errors
from tam_dist.errors import ProjectLockedError, StorageError

LOCK = ".lock"


@dataclass(frozen=True)
class Holder:
    """Who writes a project."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}"


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. A lease is abandoned ``stale`` after its last renewal; it is then watched for ``watch`` more, because the
    clocks of two hosts may differ by more than ``stale``: an owner that is alive renews every ``renew`` seconds.
    """

    renew: float = 15.0
    stale: float = 60.0
    watch: float = 20.0


class ProjectLock(Protocol):
    """Held from :func:`acquire` until ``release`` or the end of the process."""

    def check(self) -> None:
        """Raises :class:`ProjectLockedError` where the lock was lost, as after a long standstill of this machine."""

    def release(self) -> None: ...


def acquire(project: Location, *, owner: str | None = None, times: LeaseTimes | None = None) -> ProjectLock:
    """Take the project's lock. Raises :class:`ProjectLockedError` naming the holder, :class:`StorageError`.

    ``owner`` lets a writer that was restarted take over the lease its dead predecessor left with the same ``owner``, without
    waiting for it to go stale; on a disk the kernel has released the lock already.
    """
    match project:
        case LocalLocation():
            return _FileLock(project)
        case ObjectLocation():
            return _Lease(project, owner or uuid.uuid4().hex, times or LeaseTimes())
    raise TypeError(f"no lock for {project!r}")


def holder(project: Location) -> Holder | None:
    """Who is writing the project now, None where nobody is."""
    if isinstance(project, LocalLocation):
        return _file_holder(project)
    state = _LeaseState.read(project / LOCK)
    return None if state is None or state.age() > LeaseTimes().stale else Holder(state.pid, state.host)


def _locked(project: Location, who: Holder | None) -> ProjectLockedError:
    return ProjectLockedError(f"{project} is being written by {who or 'another process'}: wait for it or stop it first.")


def _this_process() -> Holder:
    return Holder(os.getpid(), socket.gethostname())


# --- on a disk -------------------------------------------------------------------------------------------------------


class _FileLock:
    def __init__(self, project: LocalLocation) -> None:
        path = project.path / LOCK
        with storage_errors("Writing", path):
            project.path.mkdir(parents=True, exist_ok=True)
            # A file object, not a bare descriptor: a store that is dropped without close() lets go of the project.
            self._file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b", buffering=0)  # noqa: SIM115
        try:
            if not _try_exclusive(self._file.fileno()):
                raise _locked(project, _file_holder(project))
            with storage_errors("Writing", path):
                self._file.truncate(0)
                self._file.write(json.dumps(asdict(_this_process())).encode())
        except BaseException:
            self._file.close()
            raise

    def check(self) -> None:
        pass

    def release(self) -> None:
        self._file.close()


def _try_exclusive(descriptor: int) -> bool:
    for attempt in range(5):
        if attempt:
            time.sleep(0.05)  # somebody who only looks who holds the lock has it for an instant
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _file_holder(project: LocalLocation) -> Holder | None:
    path = project.path / LOCK
    with storage_errors("Reading", path):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read()
            else:
                return None
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return Holder(0, "unknown")  # it took the lock this instant and has not signed yet


# --- on an object store ----------------------------------------------------------------------------------------------

_LOOKS = 20  # at a lease that seems abandoned, while it is watched


@dataclass(frozen=True)
class _LeaseState:
    owner: str
    token: str  # one acquisition
    pid: int
    host: str
    renewed: float

    def age(self) -> float:
        return time.time() - self.renewed

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, where: Location) -> _LeaseState | None:
        data = where.read()
        if data is None:
            return None
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError, RecursionError) as error:
            raise StorageError(f"{where} is not a lock of tam-dist: remove it if nobody writes the project.") from error


class _Lease:
    def __init__(self, project: ObjectLocation, owner: str, times: LeaseTimes) -> None:
        self._project = project
        self._where = project / LOCK
        self._times = times
        me = _this_process()
        self._state = _LeaseState(owner, uuid.uuid4().hex, me.pid, me.host, time.time())
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._lost = False
        self._take()
        # A daemon: a thread that must be joined would keep a killed actor's process alive.
        threading.Thread(target=self._keep_renewing, name="project-lease", daemon=True).start()

    def check(self) -> None:
        with self._guard:
            if self._lost or (self._state.age() > self._times.stale / 2 and not self._renew()):
                raise _locked(self._project, holder(self._project))

    def release(self) -> None:
        self._stop.set()
        with self._guard:
            if not self._lost and self._is_mine():
                self._where.remove()
            self._lost = True

    def _take(self) -> None:
        if self._where.write_new(self._state.encode()):
            return
        version = self._where.version()
        found = _LeaseState.read(self._where)
        if found is not None and found.owner != self._state.owner:
            if found.age() <= self._times.stale:
                raise _locked(self._project, Holder(found.pid, found.host))
            for _ in range(_LOOKS):
                time.sleep(self._times.watch / _LOOKS)
                if _LeaseState.read(self._where) not in (found, None):
                    raise _locked(self._project, Holder(found.pid, found.host))
        self._state = replace(self._state, renewed=time.time())
        # Of several that take an abandoned lease the service lets one through; the look behind it is for stores that can't.
        if not self._where.replace(self._state.encode(), version) or not self._is_mine():
            raise _locked(self._project, holder(self._project))

    def _is_mine(self) -> bool:
        found = _LeaseState.read(self._where)
        return found is not None and found.token == self._state.token

    def _renew(self) -> bool:
        version = self._where.version()  # before the look: what comes in between must not be written over
        renewed = replace(self._state, renewed=time.time())
        if not self._is_mine() or not self._where.replace(renewed.encode(), version):
            self._lost = True
            return False
        self._state = renewed
        return True

    def _keep_renewing(self) -> None:
        while not self._stop.wait(self._times.renew):
            with self._guard:
                if self._lost:
                    return
                try:
                    self._renew()
                except StorageError:
                    continue  # check() finds the lease too old and tells the writer

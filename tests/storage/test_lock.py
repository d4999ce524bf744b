"""One writer a project, with real second processes; leases with short times."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import lock
from storage.location import LocalLocation, Location, ObjectLocation
from storage.lock import LeaseTimes, acquire, holder
from tam_dist.errors import ProjectLockedError, StorageError

RENEWING = LeaseTimes(renew=0.02)
STANDING_STILL = LeaseTimes(renew=10_000, watch=0)
HOLD = (
    "import sys, time\nfrom storage.location import Location\nfrom storage.lock import acquire\n"
    "held = acquire(Location.parse(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(60)\n"
)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def remote() -> ObjectLocation:
    location = Location.parse(f"memory://{uuid.uuid4().hex}/project")
    assert isinstance(location, ObjectLocation)
    return location


def test_the_message_names_the_process_and_a_killed_one_lets_go(other: subprocess.Popen[str], tmp_path: Path) -> None:
    project = Location.parse(tmp_path)
    with pytest.raises(ProjectLockedError, match=rf"^{tmp_path} is being written by process {other.pid} on host \S+: wait"):
        acquire(project)
    assert (holder(project) or lock.Holder(0, "")).pid == other.pid
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert holder(project) is None
    held = acquire(project)
    assert (holder(project) or lock.Holder(0, "")).pid == os.getpid()
    for _ in range(2):
        held.release()
    assert holder(project) is None


def test_children_do_not_keep_the_lock(tmp_path: Path) -> None:
    held = acquire(Location.parse(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    try:
        held.release()
        acquire(Location.parse(tmp_path)).release()
    finally:
        child.kill()
        child.wait()


def test_a_refused_lock_leaves_the_holders_name(tmp_path: Path) -> None:
    project = Location.parse(tmp_path)
    held = acquire(project)
    for _ in range(2):
        with pytest.raises(ProjectLockedError, match=f"process {os.getpid()} "):
            acquire(project)
    held.release()


def test_somebody_who_looks_does_not_make_a_writer_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = LocalLocation(tmp_path)
    acquire(project).release()
    with (tmp_path / lock.LOCK).open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(lock.time, "sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        acquire(project).release()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``later(61)``: the clock goes on by 61 seconds."""
    real, offset = time.time, [0.0]
    monkeypatch.setattr(lock.time, "time", lambda: real() + offset[0])

    def shift(seconds: float) -> None:
        offset[0] += seconds

    return shift


def test_a_lease_is_renewed_and_respected(remote: ObjectLocation) -> None:
    held = acquire(remote, times=RENEWING)
    first = (remote / lock.LOCK).read()
    deadline = time.monotonic() + 60
    while (remote / lock.LOCK).read() == first:
        assert time.monotonic() < deadline, "never renewed"
        time.sleep(0.01)
    with pytest.raises(ProjectLockedError, match=f"process {os.getpid()} on host"):
        acquire(remote)
    held.check()
    held.release()
    assert remote.children() == []
    acquire(remote).release()


def test_an_abandoned_lease_is_taken_over_and_its_late_owner_finds_out(
    remote: ObjectLocation, later: Callable[[float], None]
) -> None:
    first = acquire(remote, times=STANDING_STILL)
    later(59)
    with pytest.raises(ProjectLockedError):
        acquire(remote, times=STANDING_STILL)
    later(2)
    assert holder(remote) is None
    second = acquire(remote, times=STANDING_STILL)
    with pytest.raises(ProjectLockedError):
        first.check()
    first.release()  # must not remove the lease of the second
    second.check()
    assert remote.children() == [lock.LOCK]
    second.release()


def test_an_owner_that_stood_still_but_was_not_replaced_goes_on(remote: ObjectLocation, later: Callable[[float], None]) -> None:
    held = acquire(remote, times=STANDING_STILL)
    later(500)
    held.check()
    assert holder(remote) is not None
    held.release()


def test_a_lease_that_looks_stale_but_is_renewed_is_left_alone(remote: ObjectLocation) -> None:
    held = acquire(remote, times=RENEWING)
    with pytest.raises(ProjectLockedError):
        # As seen by a host whose clock is far ahead: everything looks stale, only watching tells that the owner is alive.
        acquire(remote, times=LeaseTimes(stale=-1, watch=10))
    held.check()
    held.release()


def test_a_restarted_owner_takes_its_lease_back_at_once(remote: ObjectLocation, later: Callable[[float], None]) -> None:
    first = acquire(remote, owner="writer-1", times=STANDING_STILL)
    second = acquire(remote, owner="writer-1", times=STANDING_STILL)
    second.check()
    later(31)
    with pytest.raises(ProjectLockedError):
        first.check()
    second.release()


def test_an_unreadable_lease_is_named(remote: ObjectLocation) -> None:
    (remote / lock.LOCK).write(b"mine")
    with pytest.raises(StorageError, match=r"\.lock is not a lock of tam-dist"):
        acquire(remote)

"""Connecting this process to Ray: to a cluster by its address, or to a local one, started here, that leaves nothing behind."""

from __future__ import annotations

import atexit
import logging
import math
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from actors.placement import cpus_needed
from tam_dist.config import Config
from tam_dist.coordination.video import VideoJob
from tam_dist.errors import ResourceError

log = logging.getLogger(__name__)

#: For a first sign of life from a cluster's address.
CONNECT_SECONDS = 5.0
#: For so long the folder of a local Ray that went wrong stays, with its logs.
KEEP_SECONDS = 24 * 3600.0
_MIN_STORE_BYTES = 256 << 20
#: Ray tells its user of tokens and addresses otherwise; what goes wrong with it we say ourselves.
_RAY_LOGS = logging.ERROR
#: Its sockets' paths end where 107 characters do, and its own part has 70.
_LONGEST_FOLDER = 36
_SESSION = re.compile(r"session_[-\d_]+_(\d+)")

_keep = threading.Event()


def cluster_address(address: str | None) -> str | None:
    """Of the cluster to connect to: ``address``, else ``$RAY_ADDRESS``; None for a local one."""
    found = address or os.environ.get("RAY_ADDRESS")
    return None if found == "local" else found or None


def connect(config: Config, jobs: Sequence[VideoJob] = (), address: str | None = None) -> None:
    """Connect to Ray, unless this process is connected already. Raises :class:`ResourceError`."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers otherwise
    # Under `uv run` Ray would start each worker through uv, which was seen to hang.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    cluster = cluster_address(address)
    with _own_signal_handlers():
        if cluster is None:
            _start(config, jobs)
        else:
            _join(cluster)


def keep_logs() -> None:
    """Something went wrong: leave the folder of the local Ray for a while."""
    _keep.set()


def store_bytes(config: Config, jobs: Sequence[VideoJob]) -> int:
    """The size of a local Ray's object store: twice what the credits let the passes under way hold, with as many chunks again
    that were freed within the last moment.
    """
    if config.cluster.object_store_gb:
        return int(config.cluster.object_store_gb * 1e9)
    specs = [job.spec for job in jobs]
    chunk = max((3 * s.width * s.height * s.chunk_size for s in specs), default=0)
    segments = sum(job.segments for job in jobs)
    passes = min(segments, config.cluster.propagators * config.cluster.sessions_per_propagator)
    held = passes * (config.credits.decoded_chunks + 1 + config.credits.writes)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_MIN_STORE_BYTES, min(2 * held * chunk, int(0.4 * memory)))


def check_address(address: str) -> None:
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


def _start(config: Config, jobs: Sequence[VideoJob]) -> None:
    # Freed objects linger for a second by default: 72 chunks of 20 MB were seen where 8 were in use.
    os.environ.setdefault("RAY_free_objects_period_milliseconds", "100")
    # Ray runs workers at niceness 15: beside other busy processes they got a twentieth of the time that the same work
    # got without Ray. Tracking is what the user asked for, not background work.
    os.environ.setdefault("RAY_worker_niceness", "0")
    folder = sessions_folder()
    sweep_sessions(folder)
    context: Any = ray.init(
        address="local",
        num_cpus=max(os.cpu_count() or 1, math.ceil(cpus_needed(config.cluster))),
        object_store_memory=store_bytes(config, jobs),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=_RAY_LOGS,
        _temp_dir=str(folder),
    )
    folder.chmod(0o700)  # Ray opens it to everybody
    atexit.register(_end, os.getpid(), Path(context.address_info["session_dir"]))


def _join(address: str) -> None:
    check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=_RAY_LOGS)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ResourceError(
            f"The Ray cluster at {address} did not let us in ({str(error).splitlines()[0]}): check --address or RAY_ADDRESS, "
            "its version of Ray, and the token (RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN or ~/.ray/auth_token as it has them)."
        ) from error


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Ray takes SIGTERM when it connects, for a C++ stack dump, and the process would end without a word of how to go on."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if callable(handler):
                    signal.signal(number, handler)


# --- what a local Ray leaves -------------------------------------------------------------------------------------------


def sessions_folder() -> Path:
    """Where our local Rays keep their sockets and logs: apart from anybody else's, who would otherwise find ours by the address
    "auto", and so that everything there may be removed by us.
    """
    base = Path(tempfile.gettempdir())
    if len(str(base)) > _LONGEST_FOLDER - len("/tam-dist-1000"):
        base = Path("/tmp")  # noqa: S108
    folder = base / f"tam-dist-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            folder = Path(tempfile.mkdtemp(prefix="tam-dist-", dir=base))
    except OSError as error:
        raise ResourceError(f"Ray needs a temporary folder, and {folder} can't be made: {error.strerror}.") from error
    return folder


def sweep_sessions(folder: Path) -> None:
    """Remove what killed or failed runs left, once it is old."""
    for session in folder.glob("session_*"):
        named = _SESSION.fullmatch(session.name)
        if named is None or session.is_symlink() or Path(f"/proc/{named[1]}").exists():
            continue
        if time.time() - session.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(session, ignore_errors=True)


def _end(process: int, session: Path) -> None:
    """At this process's end, though not at that of a fork of it."""
    if os.getpid() != process:
        return
    ray.shutdown()
    if _keep.is_set():
        log.warning("Ray's logs of this run stay in %s for a day.", session)
    else:
        shutil.rmtree(session, ignore_errors=True)

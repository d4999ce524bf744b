"""Asking a run of another process to cancel videos, or to read their prompt logs anew: small files in its folder, which its
driver looks for.

Files, because they need neither Ray nor a port, and work wherever the projects do. The driver holds a lock on their folder, by
which others know that it is there: its writer takes the project's own only once Ray has started.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from storage import lock
from storage.location import Location

#: The folder beside the projects, there only while a run has requests.
REQUESTS = "requests"
_ALL = "cancel"
_ONE = "cancel."
_CORRECT = "correct."


@dataclass(frozen=True)
class Requests:
    """Videos to ``cancel``, and those whose prompt log has grown, to ``refresh``: by name at the desk, by project beyond."""

    cancel: frozenset[str] = frozenset()
    refresh: frozenset[str] = frozenset()


def ask_to_cancel(folder: Location, names: Iterable[str] | None = None) -> None:
    """Ask the run in ``folder`` to cancel the videos of these names; all, if None. Raises :class:`StorageError`."""
    for file in [_ALL] if names is None else [_ONE + name for name in names]:
        (folder / REQUESTS / file).write(b"")


def ask_to_refresh(folder: Location, name: str) -> None:
    """Tell the run in ``folder`` that the prompt log of the video of that name has grown. Raises :class:`StorageError`."""
    (folder / REQUESTS / f"{_CORRECT}{name}").write(b"")


class Desk:
    """Where a driver takes requests, from :meth:`open` to :meth:`close`. Raises :class:`StorageError`, and on opening
    :class:`ProjectLockedError` where another driver takes them.
    """

    def __init__(self, folder: Location) -> None:
        self._folder = folder / REQUESTS
        self._lock: lock.ProjectLock | None = None

    @property
    def is_open(self) -> bool:
        return self._lock is not None

    def open(self) -> None:
        """Requests that were there are forgotten: they were for an earlier run."""
        self._lock = lock.acquire(self._folder)
        for file in _requests(self._folder):
            (self._folder / file).remove()

    def take(self, names: Collection[str]) -> Requests:
        """What is asked of videos among ``names``; the requests are removed."""
        found = _requests(self._folder) if self.is_open else []
        for file in found:
            (self._folder / file).remove()
        cancel = names if _ALL in found else [name for name in names if _ONE + name in found]
        return Requests(frozenset(cancel), frozenset(name for name in names if _CORRECT + name in found))

    def close(self) -> None:
        """Nothing of ours is left."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            if all(map(is_request, self._folder.children())):
                self._folder.remove_tree()


def driver(folder: Location) -> lock.Holder | None:
    """Who drives the run in ``folder`` now, None where nobody does."""
    return lock.holder(folder / REQUESTS)


def is_request(file: str) -> bool:
    """Whether a file of that name in the folder of requests is ours: a request, or the lock of who takes them."""
    return file == lock.LOCK or file == _ALL or file.startswith((_ONE, _CORRECT))


def _requests(folder: Location) -> list[str]:
    return [file for file in folder.children() if is_request(file) and file != lock.LOCK]

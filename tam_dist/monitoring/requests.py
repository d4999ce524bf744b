"""Asking a run of another process to cancel videos: small files in its folder, which its driver looks for.

Files, because they need neither Ray nor a port, and work wherever the projects do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from storage.location import Location

#: The folder beside the projects, there only while a run has requests.
REQUESTS = "requests"
_ALL = "cancel"
_ONE = "cancel."


def ask_to_cancel(folder: Location, names: Iterable[str] | None = None) -> None:
    """Ask the run in ``folder`` to cancel the videos of these names; all, if None. Raises :class:`StorageError`."""
    for file in [_ALL] if names is None else [_ONE + name for name in names]:
        (folder / REQUESTS / file).write(b"")


def take_requests(folder: Location, names: Collection[str]) -> set[str]:
    """The names among ``names`` that are asked for; the requests are removed. Raises :class:`StorageError`."""
    found = (folder / REQUESTS).children()
    for file in found:
        (folder / REQUESTS / file).remove()
    if _ALL in found:
        return set(names)
    return {file.removeprefix(_ONE) for file in found} & set(names)


def is_request(file: str) -> bool:
    """Whether a file of that name in the folder of requests is one."""
    return file == _ALL or file.startswith(_ONE)


def discard_requests(folder: Location) -> None:
    """Forget all requests, as at the beginning and the end of a run. A folder of somebody else is left alone."""
    if all(map(is_request, (folder / REQUESTS).children())):
        (folder / REQUESTS).remove_tree()

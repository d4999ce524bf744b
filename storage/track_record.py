"""The track record: which entries of the prompt log count in which chunks, in editions that the project's writer adds.

What a person asks for while a video is tracked reaches its running passes at some chunk; which one is a matter of timing, so
it is written down, before any masks that depend on it. An edition is a file of its own, as commits are: atomic on every kind
of storage, and there are few, one for each time that something was asked for.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from storage.location import Location
from tam_dist.errors import SchemaError
from tam_dist.types import Edition, Exemption

TRACKS = "tracks"
_SUFFIX = ".json"


class TrackRecord:
    """The editions of one project. Reads go to the storage each time, so that a reader sees a writer in another process."""

    def __init__(self, project: Location) -> None:
        self._folder = project / TRACKS

    def read(self) -> tuple[Edition, ...]:
        """In order, numbers from 1. Raises :class:`SchemaError` where one is damaged or missing."""
        names = sorted(name for name in self._folder.children() if name.endswith(_SUFFIX))
        found = []
        for number, (name, data) in enumerate(zip(names, self._folder.read_many(names), strict=True), 1):
            if name != _name(number) or data is None:
                raise SchemaError(f"{self._folder} lacks edition {number}: restore it from a copy.")
            found.append(_decoded(data, self._folder / name))
        return tuple(found)

    def count(self) -> int:
        """How many editions there are, from one listing."""
        return sum(name.endswith(_SUFFIX) for name in self._folder.children())

    def append(self, edition: Edition) -> None:
        """For the project's one writer. Raises :class:`StorageError`."""
        (self._folder / _name(edition.number)).write(json.dumps(asdict(edition)).encode())


def _decoded(data: bytes, where: Location) -> Edition:
    try:
        fields = json.loads(data)
        exemptions = tuple(Exemption(**each | {"entries": tuple(each["entries"])}) for each in fields["exemptions"])
        return Edition(**fields | {"entries": tuple(fields["entries"]), "exemptions": exemptions})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SchemaError(f"{where} is damaged: restore it from a copy.") from error


def _name(number: int) -> str:
    return f"{number:08d}{_SUFFIX}"

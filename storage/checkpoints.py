"""Tracker states on disk, to restart from: the newest ones, and ever sparser older ones for corrections far back.

The bytes are opaque here (safetensors, so that anybody can open them). A state counts only together with the digest that
its chunk's commit record holds: a torn, missing or outdated one is passed over for the next older.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from storage.location import Location

_SUFFIX = ".safetensors"

CHECKPOINTS = "checkpoints"


def thinned(chunks: Sequence[int], keep: int) -> list[int]:
    """Which of ``chunks`` (ascending) to keep, for a number that grows with the logarithm of the video's length.

    The first and the ``keep`` newest stay; between them, such that the gap between two neighbours is at most the way from
    the later one to the newest, or cannot be made smaller. Restarting at any chunk thus repeats at most about as much as
    lies between that chunk and the newest. Thinning after each new state gives this at every moment.

    >>> thinned(range(0, 100, 4), 2)
    [0, 48, 72, 84, 88, 92, 96]
    """
    kept = list(chunks)
    i = 1
    while i < len(kept) - keep:
        if kept[i + 1] - kept[i - 1] <= kept[-1] - kept[i + 1]:
            del kept[i]
        else:
            i += 1
    return kept


class CheckpointStore:
    """The states of one project; state ``n`` is the one after chunk ``n``."""

    def __init__(self, project: Location, keep: int) -> None:
        self._folder = project / CHECKPOINTS
        self._keep = keep

    def chunks(self) -> list[int]:
        """Ascending indices of the chunks after which there is a state."""
        stems = (name.removesuffix(_SUFFIX) for name in self._folder.children() if name.endswith(_SUFFIX))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def write(self, chunk: int, state: bytes) -> str:
        """Returns the digest (SHA-256, hex) to be put into the chunk's commit record."""
        self._at(chunk).write(state)
        return state_digest(state)

    def read(self, chunk: int, digest: str) -> bytes | None:
        """The state after ``chunk``, or None where it is missing or not the one that ``digest`` names."""
        state = self._at(chunk).read()
        return state if state is not None and state_digest(state) == digest else None

    def remove(self, chunk: int) -> None:
        self._at(chunk).remove()

    def thin(self) -> None:
        """Remove the states that :func:`thinned` does not keep."""
        chunks = self.chunks()
        for chunk in set(chunks).difference(thinned(chunks, self._keep)):
            self.remove(chunk)

    def _at(self, chunk: int) -> Location:
        return self._folder / f"{chunk:08d}{_SUFFIX}"


def state_digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()

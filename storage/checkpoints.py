"""Tracker states on disk, to restart from: the newest ones, ever sparser older ones, and evenly spread ones, as many as there
is room for, from which corrections go on.

The bytes are opaque here (safetensors, so that anybody can open them). A state counts only together with the digest that
its chunk's commit record holds: a torn, missing or outdated one is passed over for the next older.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

from storage.location import Location

_SUFFIX = ".safetensors"

CHECKPOINTS = "checkpoints"
#: States of passes that go backwards. They are numbered as if the video ran that way: ``n`` is the one after the n-th chunk
#: from the end, so that the same ones are kept.
BACKWARD_CHECKPOINTS = "checkpoints-backward"


def thinned(chunks: Sequence[int], *, every: int, keep: int, room: int = 0, done: bool = False) -> list[int]:
    """Which of ``chunks`` (ascending) to keep: a number that grows with the logarithm of the video's length, and up to ``room``
    more, evenly spread.

    States are made after every ``every`` chunks. Number n of them (from 1) stays until it lies further behind the newest than
    ``keep`` times the largest power of two that divides n. So restarting at any chunk repeats at most about twice what lies
    between that chunk and the newest (for ``keep`` from 2 on), and what is kept depends on where the newest is, not on when
    it was thinned: a run that was killed or stopped in between leaves the same files. So it is with those for which there is
    room: all whose number is a multiple of the smallest power of two of which there are so few. A state between two numbers,
    where a run was stopped, stays while it is the newest and the video is not ``done``.

    >>> thinned(range(3, 100, 4), every=4, keep=2)
    [63, 79, 87, 91, 95, 99]
    >>> thinned(range(3, 100, 4), every=4, keep=2, room=6)
    [15, 31, 47, 63, 79, 87, 91, 95, 99]
    >>> thinned([3, 7, 8], every=4, keep=2), thinned([3, 7, 8], every=4, keep=2, done=True)
    ([3, 7, 8], [3, 7])
    """
    newest = max((_number(chunk, every) for chunk in chunks), default=0)
    stride = 1
    while room and newest // stride > room:
        stride *= 2
    kept = []
    for chunk in chunks:
        number = _number(chunk, every)
        stopped_here = not number and chunk == chunks[-1] and not done
        spread = room > 0 and number % stride == 0
        if stopped_here or (number and (spread or newest - number <= keep * (number & -number))):
            kept.append(chunk)
    return kept


def _number(chunk: int, every: int) -> int:
    """The how-manieth regular state it is, 0 if none."""
    number, rest = divmod(chunk + 1, every)
    return 0 if rest else number


class CheckpointStore:
    """The states of one project; state ``n`` is the one after chunk ``n``."""

    def __init__(self, project: Location, *, every: int, keep: int, budget: int = 0, folder: str = CHECKPOINTS) -> None:
        """``budget``: the bytes that may be taken by states which are kept for corrections alone."""
        self._budget = budget
        self._folder = project / folder
        self._every = every
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

    def thin(self, *, done: bool = False, borders: Sequence[int] = (0,)) -> None:
        """Remove the states that :func:`thinned` does not keep, in each of the stretches that begin at ``borders``."""
        chunks = self.chunks()
        room = 0
        if self._budget > 0 and chunks:
            room = self._budget // len(borders) // max(self._at(chunks[-1]).size(), 1)
        for first, stop in pairwise((*borders, chunks[-1] + 1 if chunks else 0)):
            here = [chunk for chunk in chunks if first <= chunk < stop]
            for chunk in set(here).difference(thinned(here, every=self._every, keep=self._keep, room=room, done=done)):
                self.remove(chunk)

    def shrink(self, budget: int) -> int:
        """Remove states until they take at most ``budget`` bytes; returns the bytes freed.

        Those go first without which a way back grows least.
        """
        sizes = {chunk: self._at(chunk).size() for chunk in self.chunks()}
        before = sum(sizes.values())
        while sizes and sum(sizes.values()) > budget:
            chunk = least_missed(sorted(sizes))
            self.remove(chunk)
            del sizes[chunk]
        return before - sum(sizes.values())

    def _at(self, chunk: int) -> Location:
        return self._folder / f"{chunk:08d}{_SUFFIX}"


def least_missed(chunks: Sequence[int]) -> int:
    """Which of ``chunks`` (ascending) to do without: the one whose neighbours are closest to each other.

    >>> least_missed([63, 79, 87, 91, 95]), least_missed([10, 12, 60]), least_missed([5])
    (95, 10, 5)
    """
    before = [-1, *chunks]
    behind = [*chunks[1:], chunks[-1]]
    return min(chunks, key=lambda chunk: behind[chunks.index(chunk)] - before[chunks.index(chunk)])


def state_digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()

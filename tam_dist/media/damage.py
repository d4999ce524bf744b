"""What is handed out in the place of frames that cannot be decoded: frame numbers never shift, and one frame ends no film.

The replacement is a function of the file alone, not of what was read before, so that a run that starts again in the middle of
a gap sees the same pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import chain
from typing import Literal, cast, get_args

import numpy as np

from tam_dist.errors import VideoError
from tam_dist.types import UInt8Array

log = logging.getLogger(__name__)

#: How far a stand-in is looked for; a video with longer gaps than a minute is no case for stand-ins.
FARTHEST = 2000

OnDamage = Literal["stop", "skip", "hold"]
"""``stop``: a damaged frame is an error. ``hold``: the last whole frame before it stands in (at the start of a
video the first one behind it). ``skip``: it is black, and is
said to be no picture, so that nothing is tracked in it.
"""


class FrameDamagedError(VideoError):
    """One frame, named in the message, cannot be decoded."""


def checked_policy(name: str) -> OnDamage:
    """Raises :class:`VideoError` where there is no such policy."""
    if name not in get_args(OnDamage):
        known = " | ".join(get_args(OnDamage))
        raise VideoError(f"There is no policy {name!r} for damaged frames; media.on_damage is {known}.")
    return cast(OnDamage, name)


class FrameFiller:
    """Reads frames one by one with ``decode``, which gives uint8 (H, W, 3) or raises :class:`FrameDamagedError`."""

    def __init__(self, policy: OnDamage, shape: tuple[int, int, int, int], decode: Callable[[int], UInt8Array]) -> None:
        """``shape`` is the video's (T, H, W, 3)."""
        self.policy = policy
        self._count, self._shape = shape[0], shape[1:]
        self._decode = decode
        self._damaged: set[int] = set()
        self._last: tuple[int, UInt8Array] | None = None  # the last whole frame

    @property
    def damaged(self) -> frozenset[int]:
        """The numbers of the frames that turned out to be damaged so far."""
        return frozenset(self._damaged)

    def read(self, start: int, stop: int) -> UInt8Array:
        """Frames ``start`` to ``stop`` (exclusive), uint8 (n, H, W, 3). Raises :class:`VideoError` of ``decode``."""
        out: UInt8Array = np.empty((stop - start, *self._shape), np.uint8)
        for number in range(start, stop):
            out[number - start] = self._whole_or_replaced(number)
        return out

    def _whole_or_replaced(self, number: int) -> UInt8Array:
        try:
            return self._whole(number)
        except FrameDamagedError as error:
            if self.policy == "stop":
                raise
            picture = self._stand_in(number, error) if self.policy == "hold" else np.zeros(self._shape, np.uint8)
            if number not in self._damaged and number - 1 not in self._damaged:
                said = "A whole frame near by stands in for it" if self.policy == "hold" else "It is left out"
                log.warning("%s %s, as for those right behind it that are damaged too.", error, said)
            self._damaged.add(number)
            return picture

    def _whole(self, number: int) -> UInt8Array:
        if self._last is None or self._last[0] != number:
            self._last = number, self._decode(number)
        return self._last[1]

    def _stand_in(self, number: int, error: FrameDamagedError) -> UInt8Array:
        before = range(number - 1, max(-1, number - 1 - FARTHEST), -1)
        for other in chain(before, range(number + 1, min(self._count, number + 1 + FARTHEST))):
            try:
                return self._whole(other)
            except FrameDamagedError:
                continue
        raise error

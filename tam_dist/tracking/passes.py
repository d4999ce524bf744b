"""Passes: a video's work is a set of them, each one session over consecutive chunks, in one direction.

What is tracked where is a function of the video, its prompts, its settings and its track record, never of how many workers
there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Backward passes go over the same chunks of the grid, last chunk first, and within each last frame first."""

    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True)
class Pass:
    """Over chunks ``first`` to ``stop`` (exclusive). The masks of its first ``skip`` chunks are not stored: they are another
    stretch's, and tracked only to get there.

    A backward pass comes after the forward one over the same chunks. Without an ``anchor`` it fills in what that leaves
    empty; with one, it starts from the correction on that frame, and is fused with what there is.
    """

    first: int
    stop: int
    direction: Direction = Direction.FORWARD
    skip: int = 0
    anchor: int | None = None

    @property
    def backward(self) -> bool:
        return self.direction is Direction.BACKWARD

    @property
    def chunks(self) -> range:
        """In the order of tracking.

        >>> list(Pass(2, 5, Direction.BACKWARD).chunks)
        [4, 3, 2]
        """
        return range(self.stop - 1, self.first - 1, -1) if self.backward else range(self.first, self.stop)

    @property
    def kept(self) -> range:
        """The chunks whose masks are stored, in the order of tracking.

        >>> list(Pass(2, 6, skip=1).kept)
        [3, 4, 5]
        """
        return self.chunks[self.skip :]

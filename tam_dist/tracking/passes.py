"""Passes: a video's work is a set of them, each one session over consecutive chunks, in one direction.

What is tracked where is a function of the video, its prompts and its settings, never of how many workers there are.
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
    """Over chunks ``first`` to ``stop`` (exclusive). One that goes backwards fills in what the forward pass which begins at the
    same ``first`` leaves empty, and comes after it there.
    """

    first: int
    stop: int
    direction: Direction = Direction.FORWARD

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

"""How a stored picture must be turned to be shown upright: phones store landscape frames plus a display matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tam_dist.types import UInt8Array


@dataclass(frozen=True)
class Orientation:
    """First swap rows and columns (``transpose``), then mirror left to right (``flip_x``) and top to bottom (``flip_y``).

    >>> Orientation.from_matrix([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]).degrees
    90
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_matrix(cls, matrix: Sequence[int]) -> Orientation:
        """From the nine numbers of a display matrix (ISO 14496-12, 6.2.2), to the nearest quarter turn.

        A point (x, y) is shown at (m0 x + m3 y, m1 x + m4 y), so a zero diagonal swaps the axes and a negative sign mirrors
        one.
        """
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transpose=True, flip_x=c < 0, flip_y=b < 0)
        return cls(transpose=False, flip_x=a < 0, flip_y=d < 0)

    @property
    def is_upright(self) -> bool:
        return not (self.transpose or self.flip_x or self.flip_y)

    @property
    def degrees(self) -> int:
        """Clockwise turn in 0, 90, 180, 270; of a mirrored picture, the turn that follows its mirroring left to right."""
        if self.transpose:
            return 270 if self.flip_y else 90
        return 180 if self.flip_y else 0

    def apply(self, picture: UInt8Array) -> UInt8Array:
        """A view of ``picture`` (H, W, …), turned."""
        if self.transpose:
            picture = np.swapaxes(picture, 0, 1)
        if self.flip_y:
            picture = picture[::-1]
        if self.flip_x:
            picture = picture[:, ::-1]
        return picture

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a picture that was ``width`` x ``height`` before :meth:`apply`."""
        return (height, width) if self.transpose else (width, height)

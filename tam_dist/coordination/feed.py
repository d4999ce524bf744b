"""Jobs that become ready while others are tracked already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tam_dist.coordination.video import VideoJob


class JobFeed(Protocol):
    """Where a run takes further jobs from. All is called by the run's own thread, the one that its listener hears in."""

    @property
    def expected(self) -> int:
        """How many may still come; 0 once none will."""

    def take(self, timeout: float | None) -> Sequence[VideoJob]:
        """Those that have become ready since the last call; waits for the first of them up to ``timeout`` seconds (None:
        until there is one or none will come).
        """

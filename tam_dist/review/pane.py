"""What all routes of one pane share."""

from __future__ import annotations

from dataclasses import dataclass, field

from tam_dist.review.exports import Exports
from tam_dist.review.jobs import Jobs
from tam_dist.review.metrics import QueueMetrics
from tam_dist.review.opened import Opener
from tam_dist.review.places import Places
from tam_dist.review.preview import Previews
from tam_dist.review.queueing import Claims
from tam_dist.review.sessions import Sessions


@dataclass(frozen=True)
class Pane:
    places: Places
    sessions: Sessions
    jobs: Jobs
    opener: Opener
    previews: Previews = field(default_factory=Previews)
    claims: Claims = field(default_factory=Claims)
    exports: Exports = field(default_factory=Exports)
    metrics: QueueMetrics = field(default_factory=QueueMetrics)

    def close(self) -> None:
        """What is being tracked goes on."""
        self.jobs.close()
        self.opener.close()
        self.exports.close()

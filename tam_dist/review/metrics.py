"""Metrics of the review queue for Prometheus, which asks the pane itself: it needs no Ray.

============================== ======= ====================================================================
name                           kind    meaning
============================== ======= ====================================================================
tam_dist_review_suggestions    gauge   frames that are suggested, over all projects, when a page last asked
tam_dist_review_projects       gauge   projects that have any of them
tam_dist_review_pages          gauge   pages that are at one of them now
tam_dist_review_passed_total   counter frames that were passed over
============================== ======= ====================================================================

Counts alone, no names: they are told without a login. A scrape opens no project; before a page has asked for the queue of all
projects the first two are 0.
"""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class QueueMetrics:
    """Of one pane. Any thread may tell it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._suggestions = self._gauge("tam_dist_review_suggestions", "Frames that are suggested, when a page last asked.")
        self._projects = self._gauge("tam_dist_review_projects", "Projects that have any of them.")
        self._pages = self._gauge("tam_dist_review_pages", "Pages that are at one of them now.")
        self._passed = Counter("tam_dist_review_passed", "Frames that were passed over.", registry=self._registry)

    def offered(self, projects: Collection[int]) -> None:
        """How many suggestions each of all projects has."""
        self._suggestions.set(sum(projects))
        self._projects.set(sum(map(bool, projects)))

    def passed(self) -> None:
        self._passed.inc()

    def text(self, pages: int) -> bytes:
        """As Prometheus reads it; ``pages`` are at a suggestion now."""
        self._pages.set(pages)
        return generate_latest(self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry)

"""What is counted, and that the one table of metrics says what is registered."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from tam_dist.coordination.calls import Role, WorkerId
from tam_dist.coordination.events import (
    CallFinished,
    CallSubmitted,
    ChunkCommitted,
    ChunkDecoded,
    ChunkTracked,
    Event,
    SegmentationAsked,
    VideoEnded,
    VideoReplanned,
    VideoReplayed,
    VideoStarted,
    WorkerDied,
)
from tam_dist.monitoring import metrics
from tam_dist.monitoring.metrics import GAUGE_SECONDS, RayMetrics
from tests.tam_dist.coordination.test_stages import Clock

util = pytest.importorskip("ray.util.metrics")
P0 = WorkerId(Role.PROPAGATOR, 0)


class Registry:
    """Stands in for Ray's metrics: remembers what is registered and recorded."""

    def __init__(self) -> None:
        self.registered: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.values: dict[tuple[str, str | None], list[float]] = defaultdict(list)

    def kind(self, kind: str) -> Any:
        registry = self

        class Metric:
            def __init__(
                self, name: str, description: str = "", tag_keys: tuple[str, ...] = (), boundaries: Any = None
            ) -> None:
                self.name, self.tag_keys = name, tag_keys
                registry.registered[name] = (kind, tag_keys)

            def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
                assert set(tags or {}) == set(self.tag_keys)
                registry.values[self.name, next(iter((tags or {}).values()), None)].append(value)

            set = observe = inc

        return Metric

    def total(self, name: str, role: str | None = None) -> float:
        return sum(self.values[name, role])


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = Registry()
    for name in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(util, name, found.kind(name.lower()))
    return found


def test_the_table_names_what_is_registered(registry: Registry) -> None:
    RayMetrics()
    rows = [line.split() for line in (metrics.__doc__ or "").splitlines() if line.startswith("tam_dist_")]
    table = {row[0]: (row[1], (row[2],) if row[2] in ("role", "lane") else ()) for row in rows}
    assert table == registry.registered
    assert all(len(row) > 4 for row in rows), "every metric says what it means"


def test_rays_own_metrics_take_what_is_given() -> None:
    listener = RayMetrics()
    listener(CallSubmitted(P0, "Step"))
    listener(CallFinished(P0, "Step", 0.5))
    listener(VideoReplayed("a", 0, Role.PROPAGATOR))
    listener(ChunkCommitted("a", 0, 16, 16, new=True))


def test_counters_and_histograms(registry: Registry) -> None:
    listener = RayMetrics()
    for event in (
        ChunkCommitted("a", 0, 16, 16, new=True),
        ChunkCommitted("a", 0, 16, 16, new=False),
        ChunkCommitted("a", 1, 4, 20, new=True),
        SegmentationAsked("a", 0),
        VideoReplayed("a", 1, Role.PROPAGATOR),
        VideoEnded("a", "failed", ValueError("x")),
        VideoEnded("b", "done", None),
        CallFinished(P0, "Step", 0.2),
        CallFinished(P0, "Resume", 0.3),
        CallFinished(P0, "Step", 0.0),  # lost, not fast
    ):
        listener(event)
    assert registry.total("tam_dist_frames_total") == 20
    assert registry.total("tam_dist_refinements_total") == 1
    assert registry.total("tam_dist_replays_total", "propagator") == 1
    assert registry.total("tam_dist_failed_videos_total") == 1
    assert registry.total("tam_dist_done_videos_total") == 1
    assert registry.values["tam_dist_step_seconds", None] == [0.2, 0.3]


def test_gauges_and_what_the_stages_count(registry: Registry) -> None:
    clock = Clock()
    listener = RayMetrics(clock)
    listener(ChunkDecoded("a", 0, 1000))
    for _ in range(3):
        listener(CallSubmitted(P0, "Step"))
    clock.now += GAUGE_SECONDS
    for _ in range(3):  # one death, three calls lost
        listener(CallFinished(P0, "Step", 0.0))
        listener(WorkerDied(P0, "a"))
    clock.now += GAUGE_SECONDS
    listener(CallSubmitted(P0, "Step"))
    assert registry.total("tam_dist_restarts_total", "propagator") == 1
    assert registry.values["tam_dist_bytes_in_flight", None][-1] == 1000
    assert registry.values["tam_dist_queue_depth", "propagator"][0] == 0
    assert 1 in registry.values["tam_dist_queue_depth", "propagator"]
    assert registry.total("tam_dist_stalls_total") == 1
    listener(CallFinished(P0, "Step", 1.0))
    listener(WorkerDied(P0, "a"))
    clock.now += GAUGE_SECONDS
    listener(SegmentationAsked("a", 1))
    assert registry.total("tam_dist_restarts_total", "propagator") == 2


def test_what_stands_still_longest_is_known_until_it_ends(registry: Registry) -> None:
    clock, wall = Clock(), Clock()
    listener = RayMetrics(clock, wall)

    def told(name: str) -> float:
        clock.now += GAUGE_SECONDS
        listener(SegmentationAsked("another", 0))
        return registry.values[name, None][-1]

    for video, began in (("a", 100.0), ("b", 200.0)):
        wall.now = began
        listener(VideoStarted(video, 0, 0, 0, 16))
    wall.now = 300.0
    listener(ChunkTracked("b", 0, 16))
    assert (told("tam_dist_active_videos"), told("tam_dist_oldest_progress")) == (2, 100)
    listener(ChunkCommitted("a", 0, 16, 16, new=False))
    wall.now = 400.0
    assert told("tam_dist_oldest_progress") == 300
    for video in ("a", "b"):
        listener(VideoEnded(video, "done", None))  # no other event follows, and no time passes
    assert registry.values["tam_dist_active_videos", None][-1] == 0
    assert registry.values["tam_dist_oldest_progress", None][-1] == 400, "nothing waits"


def test_progress_is_told_by_lane(registry: Registry) -> None:
    clock = Clock()
    listener = RayMetrics(clock)

    def told(*events: Event) -> list[float]:
        for event in events:
            listener(event)
        clock.now += GAUGE_SECONDS
        listener(SegmentationAsked("a", 0))
        lanes = [lane for name, lane in registry.values if name == "tam_dist_video_progress"]
        return [registry.values["tam_dist_video_progress", lane][-1] for lane in lanes]

    assert told() == []
    assert told(VideoStarted("a", 0, 0, 16, 64), VideoStarted("b", 0, 0, 0, 32)) == [0.25, 0]
    assert told(ChunkCommitted("a", 1, 16, 32, new=True), ChunkCommitted("b", 0, 16, 16, new=True)) == [0.5, 0.5]
    assert told(VideoStarted("b", 1, 1, 16, 32), VideoReplanned("a", 16)) == [0.25, 0.5], "a replay keeps its lane"
    assert told(VideoEnded("a", "done", None)) == [0, 0.5]
    assert told(VideoStarted("c", 0, 0, 8, 8)) == [1, 0.5], "the free lane is taken before a new one"
    assert told(VideoEnded("b", "done", None), VideoEnded("c", "failed", ValueError("x"))) == [0, 0]

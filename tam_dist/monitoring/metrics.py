"""Metrics of a run for Prometheus, through Ray, which exports them from every node under these names prefixed with ``ray_``.

============================== ========= ===== ====================================================================
name                           kind      tags  meaning
============================== ========= ===== ====================================================================
tam_dist_frames_total          counter         frames whose masks were committed for the first time
tam_dist_stalls_total          counter         times that a propagator stood idle between two calls
tam_dist_refinements_total     counter         questions to the segmentation model
tam_dist_restarts_total        counter   role  workers that died and were replaced
tam_dist_replays_total         counter   role  sessions that went back to a checkpoint, by the worker that was to blame
tam_dist_failed_videos_total   counter         videos set aside with a reason
tam_dist_done_videos_total     counter         videos that were tracked to their end
tam_dist_active_videos         gauge           videos that are being tracked
tam_dist_video_progress        gauge     lane  share of the video in that lane whose masks were committed, 0 to 1; 0 where the
                                               lane is free
tam_dist_oldest_progress       gauge           when the one of them that waits longest last moved, seconds since the epoch
tam_dist_workers               gauge     role  workers that were given something to do so far
tam_dist_queue_depth           gauge     role  calls that wait behind the ones under way
tam_dist_bytes_in_flight       gauge           decoded frames that are not tracked yet, bytes
tam_dist_busy_share            gauge     role  busy share of the workers' time in the last half minute, 0 to 1
tam_dist_step_seconds          histogram       one step of a tracking session
tam_dist_decode_seconds        histogram       decoding one chunk
tam_dist_segment_seconds       histogram       one answer of the segmentation model
tam_dist_write_seconds         histogram       storing one chunk
============================== ========= ===== ====================================================================

No metric is tagged with a video: every tag's value makes a series of its own, which Prometheus keeps for weeks. Progress is
told by lane instead, of which there are as many as videos at once: a video takes the lowest that is free until it ends. That
one stands still is told by ``time() - ray_tam_dist_oldest_progress`` all the same; which one, by ``tam-dist status``.

Ray's counters can't be made at 0: a series begins with its first increment, which ``increase()`` doesn't see. Alerts on rare
events ask for series that weren't there before, too.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tam_dist.coordination.events import (
    CallFinished,
    ChunkCommitted,
    ChunkDecoded,
    ChunkTracked,
    Event,
    SegmentationAsked,
    VideoEnded,
    VideoReplanned,
    VideoReplayed,
    VideoStarted,
)
from tam_dist.coordination.stages import StageAccounts
from tam_dist.coordination.video import VideoState

#: Upper bounds of the histograms' buckets: from a small clip's step on a GPU to a long one's on a CPU.
BUCKETS_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: Seconds between two updates of the gauges; Ray collects every ten.
GAUGE_SECONDS = 2.0


_ROLE = ("role",)
_LANE = ("lane",)
_COUNTERS = {
    "tam_dist_frames_total": (),
    "tam_dist_stalls_total": (),
    "tam_dist_refinements_total": (),
    "tam_dist_restarts_total": _ROLE,
    "tam_dist_replays_total": _ROLE,
    "tam_dist_failed_videos_total": (),
    "tam_dist_done_videos_total": (),
}
_GAUGES = {
    "tam_dist_active_videos": (),
    "tam_dist_video_progress": _LANE,
    "tam_dist_oldest_progress": (),
    "tam_dist_workers": _ROLE,
    "tam_dist_queue_depth": _ROLE,
    "tam_dist_bytes_in_flight": (),
    "tam_dist_busy_share": _ROLE,
}
_HISTOGRAMS = {
    "Step": "tam_dist_step_seconds",
    "Resume": "tam_dist_step_seconds",
    "Decode": "tam_dist_decode_seconds",
    "Segment": "tam_dist_segment_seconds",
    "Write": "tam_dist_write_seconds",
}


@dataclass
class _Lane:
    """A video that is being tracked: when it last moved, seconds since the epoch, and how far it is."""

    number: int
    moved: float
    frames: int
    frames_done: int

    @property
    def progress(self) -> float:
        return self.frames_done / self.frames if self.frames else 0.0


class RayMetrics:
    """A listener of the scheduler itself, in its process, which must be connected to Ray. Not thread-safe.

    A metric that is made twice in a process is one metric; so two of these add up. ``clock`` gives seconds as
    ``time.monotonic``, ``now`` as ``time.time``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        from ray.util import metrics

        self._clock = clock
        self._now = now
        self._lanes: dict[str, _Lane] = {}  # of each active video
        self._lanes_told = 0
        self._stages = StageAccounts(clock)
        self._told: Counter[tuple[str, str | None]] = Counter()
        self._due = clock()
        self._counters = {name: metrics.Counter(name, tag_keys=tags) for name, tags in _COUNTERS.items()}
        self._gauges = {name: metrics.Gauge(name, tag_keys=tags) for name, tags in _GAUGES.items()}
        names = sorted(set(_HISTOGRAMS.values()))
        self._histograms = {name: metrics.Histogram(name, boundaries=list(BUCKETS_SECONDS)) for name in names}

    def __call__(self, event: Event) -> None:
        self._stages(event)
        self._follow(event)
        match event:
            case ChunkCommitted(new=True):
                self._count("tam_dist_frames_total", event.frames)
            case SegmentationAsked():
                self._count("tam_dist_refinements_total")
            case VideoReplayed():
                self._count("tam_dist_replays_total", role=event.because)
            case VideoEnded(state=VideoState.FAILED):
                self._count("tam_dist_failed_videos_total")
            case VideoEnded(state=VideoState.DONE):
                self._count("tam_dist_done_videos_total")
            case CallFinished() if event.seconds and event.call in _HISTOGRAMS:
                self._histograms[_HISTOGRAMS[event.call]].observe(event.seconds)
        # After the last one's end no event may come that would measure.
        if self._clock() >= self._due or isinstance(event, VideoEnded):
            self._due = self._clock() + GAUGE_SECONDS
            self._measure()

    def _follow(self, event: Event) -> None:
        lane = self._lanes.get(getattr(event, "video", ""))
        match event:
            case VideoStarted():
                number = self._free_lane() if lane is None else lane.number
                self._lanes[event.video] = _Lane(number, self._now(), event.frames, event.frames_done)
            case ChunkDecoded() | ChunkTracked() | SegmentationAsked() if lane is not None:
                lane.moved = self._now()
            case ChunkCommitted() if lane is not None:
                lane.moved, lane.frames_done = self._now(), event.frames_done
            case VideoReplanned() if lane is not None:
                lane.frames_done = event.frames_done
            case VideoEnded():
                self._lanes.pop(event.video, None)

    def _free_lane(self) -> int:
        taken = {lane.number for lane in self._lanes.values()}
        return next(number for number in itertools.count() if number not in taken)

    def _count(self, name: str, value: int = 1, role: str | None = None) -> None:
        self._counters[name].inc(value, tags={} if role is None else {"role": str(role)})

    def _measure(self) -> None:
        self._count_up_to("tam_dist_stalls_total", self._stages.stalls)
        for role, restarts in self._stages.restarts.items():
            self._count_up_to("tam_dist_restarts_total", restarts, role)
        self._gauges["tam_dist_active_videos"].set(len(self._lanes))
        oldest = min((lane.moved for lane in self._lanes.values()), default=self._now())
        self._gauges["tam_dist_oldest_progress"].set(oldest)
        self._tell_lanes()
        self._gauges["tam_dist_bytes_in_flight"].set(self._stages.bytes_in_flight)
        for stage in self._stages.loads():
            self._gauges["tam_dist_workers"].set(stage.workers, tags={"role": str(stage.role)})
            self._gauges["tam_dist_queue_depth"].set(stage.queued, tags={"role": str(stage.role)})
            self._gauges["tam_dist_busy_share"].set(stage.busy, tags={"role": str(stage.role)})

    def _tell_lanes(self) -> None:
        """Those that are free now too, as a gauge keeps its value."""
        progress = {lane.number: lane.progress for lane in self._lanes.values()}
        self._lanes_told = max(self._lanes_told, *(number + 1 for number in progress), 0)
        for number in range(self._lanes_told):
            self._gauges["tam_dist_video_progress"].set(progress.get(number, 0.0), tags={"lane": str(number)})

    def _count_up_to(self, name: str, total: int, role: str | None = None) -> None:
        """Add what a total that is kept elsewhere has grown by."""
        grown = total - self._told[name, role]
        if grown:
            self._told[name, role] = total
            self._count(name, grown, role)

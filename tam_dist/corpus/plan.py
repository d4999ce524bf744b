"""What a run would do and how long it would take, without running it: an estimate, and what it is based on."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise

from storage.location import Location
from storage.project_store import ProjectStore
from tam_dist.api import ExecutorName
from tam_dist.config import Config, PropagationConfig
from tam_dist.coordination.calls import Role
from tam_dist.corpus.lines import CorpusLine, Line
from tam_dist.corpus.names import name_projects
from tam_dist.corpus.preparing import PREPARERS
from tam_dist.corpus.run import project_owners
from tam_dist.due import borders_of, unscanned
from tam_dist.errors import TamDistError
from tam_dist.media.reader import probe
from tam_dist.media.shots import cuts_of
from tam_dist.monitoring.monitor import conditions_of
from tam_dist.monitoring.report import read_report
from tam_dist.preparation import find_done
from tam_dist.prompts import validate
from tam_dist.tracking.spec import propagation_size
from tam_dist.types import Cut, ShotScan, VideoInfo

#: Busy seconds for each megapixel of a frame, at the source's size for decoder and writer, at the propagation size for the
#: models. For the embedded models on one CPU core: XMem measured at 455x256 (0.16 s a frame), decoding H.264 at 720p. For the
#: official ones: 20 frames/s at 854x480, the order of magnitude of published figures on one GPU; not measured.
DEFAULT_COSTS: Mapping[str, Mapping[Role, float]] = {
    "embedded": {Role.DECODER: 0.017, Role.PROPAGATOR: 1.4, Role.REFINER: 0.02, Role.WRITER: 0.01},
    "official": {Role.DECODER: 0.017, Role.PROPAGATOR: 0.12, Role.REFINER: 0.02, Role.WRITER: 0.01},
}


@dataclass(frozen=True)
class Costs:
    """``seconds_per_megapixel`` as in :class:`tam_dist.monitoring.report.RunReport`; ``source`` says where they come from."""

    seconds_per_megapixel: Mapping[Role, float]
    source: str


#: Seconds of a shot, where a video's shots are not known yet: what films of the last decades have on average.
TYPICAL_SHOT = 4.0
#: Numbers of propagators that a plan tells the time for beside the one asked for.
WHAT_IF = (1, 8, 64)


@dataclass(frozen=True)
class PlannedVideo:
    """``state`` is "new", "continued", "done" or "failed" (with its ``reason``). A video that would be tracked has the number
    of its (first) propagator, and when it would start and end, in seconds from the run's start. ``segments`` are the frames of
    each that is tracked by itself, of the whole video; ``guessed`` where its shots are not known yet.
    """

    name: str
    video: str
    state: str
    frames_left: int = 0
    width: int = 0
    height: int = 0
    reason: str = ""
    propagator: int | None = None
    start: float = 0.0
    end: float = 0.0
    segments: tuple[int, ...] = ()
    guessed: bool = False

    @property
    def parts(self) -> tuple[float, ...]:
        """The shares of the video that are tracked by themselves, the longest first."""
        total = sum(self.segments)
        return tuple(frames / total for frames in sorted(self.segments, reverse=True)) if total else (1.0,)


@dataclass(frozen=True)
class CorpusPlan:
    """``seconds`` is the whole run's estimate; ``bottleneck`` the role that decides it, None where nothing would be done.
    ``what_if``: seconds by number of propagators, with as many more of the others.
    """

    videos: tuple[PlannedVideo, ...]
    workers: Mapping[Role, int]
    seconds: float
    bottleneck: Role | None
    costs: Costs
    what_if: Mapping[int, float] = field(default_factory=dict)


def plan_corpus(lines: Sequence[Line], out: str, config: Config, executor: ExecutorName) -> CorpusPlan:
    """Look at every video and project, change nothing. Raises :class:`StorageError`."""
    folder = Location.parse(out)
    named, broken = name_projects(lines, project_owners(folder))
    with ThreadPoolExecutor(PREPARERS, thread_name_prefix="prepare") as pool:
        videos = list(pool.map(lambda item: _look(folder, item[0], item[1], config), named.items()))
    videos += [PlannedVideo(f"line {line.number}", line.video, "failed", reason=line.reason) for line in broken]
    cluster = config.cluster
    workers = dict.fromkeys(Role, 1)
    if executor == "ray":
        counts = (cluster.decoders, cluster.propagators, cluster.refiners, cluster.writers)
        workers = dict(zip((Role.DECODER, Role.PROPAGATOR, Role.REFINER, Role.WRITER), counts, strict=True))
    costs, propagation = known_costs(folder, config, executor), config.propagation
    others = {n: schedule(videos, _grown(workers, n), costs, propagation).seconds for n in WHAT_IF}
    return replace(schedule(videos, workers, costs, propagation), what_if=others)


def _grown(workers: Mapping[Role, int], propagators: int) -> dict[Role, int]:
    """The same cluster with so many propagators."""
    now = workers[Role.PROPAGATOR]
    return {role: max(1, math.ceil(count * propagators / now)) for role, count in workers.items()}


def known_costs(folder: Location, config: Config, executor: ExecutorName) -> Costs:
    """Measured by an earlier run there under the same conditions, else :data:`DEFAULT_COSTS`."""
    kind = config.models.preset
    defaults = dict(DEFAULT_COSTS[kind])
    report = read_report(folder)
    if report is None or report.conditions != conditions_of(config, executor) or not report.seconds_per_megapixel:
        return Costs(defaults, f"rough figures for {kind} models, not measured on this machine")
    measured = {Role(role): seconds for role, seconds in report.seconds_per_megapixel.items()}
    return Costs(defaults | measured, f"measured by the last run in {folder}")


def schedule(
    videos: Sequence[PlannedVideo], workers: Mapping[Role, int], costs: Costs, propagation: PropagationConfig
) -> CorpusPlan:
    """Long videos first, and of each its longest segments, each to the propagator that is free first.

    A run takes as long as its busiest kind of worker, or as its slowest propagator's segments one after another.

    >>> two = [PlannedVideo(n, n, "new", 100, 1000, 1000) for n in "ab"]
    >>> costs = Costs({Role.DECODER: 0.01, Role.PROPAGATOR: 0.1, Role.REFINER: 0, Role.WRITER: 0}, "a guess")
    >>> from tam_dist.config import load_config
    >>> workers = dict.fromkeys(Role, 1) | {Role.PROPAGATOR: 2}
    >>> plan = schedule(two, workers, costs, load_config(["propagation.short_side=1000"]).propagation)
    >>> plan.seconds, plan.bottleneck.value, [v.propagator for v in plan.videos]
    (10.0, 'propagator', [0, 1])
    """
    free = [(0.0, number) for number in range(workers[Role.PROPAGATOR])]  # a heap: when, and which
    busy = dict.fromkeys(Role, 0.0)
    placed: dict[str, PlannedVideo] = {}
    for video in sorted(videos, key=lambda v: -v.frames_left):
        if not video.frames_left:
            continue
        seconds = _seconds(video, costs, propagation)
        for role in Role:
            busy[role] += seconds[role]
        first, start, end = 0, math.inf, 0.0
        for part in video.parts:
            began, number = heapq.heappop(free)
            # Alone on its propagator, a segment waits for the slowest of its stages.
            done = began + part * max(seconds.values())
            heapq.heappush(free, (done, number))
            first, start, end = (number, began, max(end, done)) if began < start else (first, start, max(end, done))
        placed[video.name] = replace(video, propagator=first, start=start, end=end)
    shares = {role: busy[role] / workers[role] for role in Role}
    slowest = max(shares, key=lambda role: shares[role]) if placed else None
    whole = max(max(free)[0], max(shares.values()))
    return CorpusPlan(tuple(placed.get(v.name, v) for v in videos), dict(workers), whole, slowest, costs)


def _seconds(video: PlannedVideo, costs: Costs, propagation: PropagationConfig) -> dict[Role, float]:
    """Busy seconds that each role would spend on the video."""
    height, width = propagation_size(video.height, video.width, propagation.short_side, enlarge=propagation.enlarge)
    source, working = video.height * video.width / 1e6, height * width / 1e6
    size = {Role.DECODER: source, Role.WRITER: source, Role.PROPAGATOR: working, Role.REFINER: working}
    return {role: costs.seconds_per_megapixel[role] * size[role] * video.frames_left for role in Role}


def _look(folder: Location, name: str, line: CorpusLine, config: Config) -> PlannedVideo:
    """What a run would find."""
    where = folder / name
    try:
        if find_done(line.video, line.prompts, str(where), config) is not None:
            return PlannedVideo(name, line.video, "done")
        info = probe(line.video)
        validate(line.prompts, info)
        store = ProjectStore.open(where, write=False) if ProjectStore.exists(where) else None
        done = 0 if store is None else store.status().frames_done
        segments, guessed = _segments(info, config, () if store is None else store.shots())
    except TamDistError as error:
        return PlannedVideo(name, line.video, "failed", reason=str(error))
    state = "continued" if done else "new"
    found = PlannedVideo(name, line.video, state, info.frame_count - done, info.width, info.height)
    return replace(found, segments=segments, guessed=guessed)


def _segments(info: VideoInfo, config: Config, scans: Sequence[ShotScan]) -> tuple[tuple[int, ...], bool]:
    """Frames of each segment, and whether that is a guess."""
    cuts: Sequence[Cut] | None = None
    guessed = config.tracking.segments == "shots" and bool(unscanned(scans, info.frame_count))
    if guessed:
        step = max(1, round(TYPICAL_SHOT * info.fps))
        cuts = [Cut(frame, 1.0) for frame in range(step, info.frame_count, step)]
    elif config.tracking.segments == "shots":
        cuts = cuts_of(scans)
    size = config.tracking.chunk_size
    edges = (*(chunk * size for chunk in borders_of(config.tracking, info.frame_count, cuts)), info.frame_count)
    return tuple(stop - start for start, stop in pairwise(edges)), guessed

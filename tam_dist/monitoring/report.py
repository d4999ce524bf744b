"""The report of a run: what its driver writes into the output folder, and ``status`` reads from any other process.

The file is ``run.json``. It is replaced as a whole every second or so (less often where writing takes long), so a reader
never sees half of it, and it stays after the run as the record from which the next one is planned. Whether the run still
lives is told by the folder's lock, not by the report: a killed driver can't write that it was killed.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from storage.location import Location
from tam_dist.coordination.calls import Role
from tam_dist.coordination.events import (
    ChunkCommitted,
    ChunkDecoded,
    ChunkTracked,
    Event,
    StageLoad,
    StagesMeasured,
    VideoEnded,
    VideoReplanned,
    VideoStarted,
    Waiting,
)
from tam_dist.coordination.stages import WINDOW_SECONDS
from tam_dist.coordination.video import FINAL, VideoJob, VideoState
from tam_dist.errors import SchemaError
from tam_dist.monitoring.bottleneck import Bottleneck, bottleneck
from tam_dist.tracking.spec import propagation_size

REPORT = "run.json"
#: State of a video that was not looked at yet; the others are those of :class:`VideoState`.
PREPARING = "preparing"
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class VideoReport:
    """``state`` is a :class:`VideoState` or :data:`PREPARING`; ``frames_per_second`` is this run's, of new frames, 0 before
    the first; ``reason`` says why it failed.
    """

    name: str
    video: str
    state: str
    frames_done: int = 0
    frames_total: int = 0
    frames_per_second: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Conditions:
    """What a run's speed depends on besides the videos."""

    executor: str
    xmem: str
    sam: str
    device: str
    short_side: int
    enlarge: bool = False


@dataclass(frozen=True)
class RunReport:
    """Times are seconds since the epoch. ``seconds_per_megapixel``: busy seconds of each role for each megapixel of the frames
    it handled, at the source's size for decoder and writer, at the propagation size for propagator and refiner; roles that
    did nothing are absent. ``ended`` is None while the run goes on. ``frames_per_second`` is that of the last
    :data:`WINDOW_SECONDS`, ``new_frames`` the number that this run committed. ``waiting_for`` says why no video has started
    yet, "" once one has.
    """

    started: float
    updated: float
    ended: float | None
    conditions: Conditions
    videos: tuple[VideoReport, ...]
    stages: tuple[StageLoad, ...]
    bottleneck: Bottleneck
    frames_per_second: float
    new_frames: int
    bytes_in_flight: int
    waiting_for: str = ""
    seconds_per_megapixel: Mapping[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def counts(self) -> dict[str, int]:
        """Number of videos by state; states without any are absent."""
        return dict(Counter(video.state for video in self.videos))

    @property
    def finished(self) -> bool:
        """Every video has come to an end."""
        return all(video.state in FINAL for video in self.videos)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> RunReport:
        """Raises :class:`SchemaError`, naming ``where``, for damaged text or that of a newer version."""
        try:
            fields = json.loads(text)
            if fields["schema_version"] > SCHEMA_VERSION:
                raise SchemaError(f"{where} was written by a newer tam-dist: upgrade tam-dist.")
            role = fields["bottleneck"]["role"]
            fields |= {
                "conditions": Conditions(**fields["conditions"]),
                "videos": tuple(VideoReport(**video) for video in fields["videos"]),
                "stages": tuple(StageLoad(**stage | {"role": Role(stage["role"])}) for stage in fields["stages"]),
                "bottleneck": Bottleneck(None if role is None else Role(role), fields["bottleneck"]["sentence"]),
            }
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise SchemaError(f"{where} is damaged: remove it, the next run writes a new one.") from error


def read_report(folder: Location) -> RunReport | None:
    """The newest report in ``folder``, None where no run was made there. Raises :class:`SchemaError`, :class:`StorageError`."""
    data = (folder / REPORT).read()
    return None if data is None else RunReport.from_json(data, str(folder / REPORT))


@dataclass
class _VideoAccount:
    report: VideoReport
    source_megapixels: float = 0.0  # of one frame
    working_megapixels: float = 0.0
    began: float = 0.0
    new_frames: int = 0


class _StageTotals:
    """Stages as last measured, with totals of what was done while this run listened: a coordinator may have worked for others
    before, and another one, after its death, counts from 0.
    """

    def __init__(self) -> None:
        self.loads: tuple[StageLoad, ...] = ()
        self.bytes_in_flight = 0
        self._before: dict[Role, StageLoad] = {}

    def add(self, now: StagesMeasured) -> None:
        totals = {load.role: load for load in self.loads}
        self.loads = tuple(self._grown(load, totals.get(load.role)) for load in now.loads)
        self.bytes_in_flight = now.bytes_in_flight
        self._before = {load.role: load for load in now.loads}

    def _grown(self, load: StageLoad, total: StageLoad | None) -> StageLoad:
        before = self._before.get(load.role, load)  # the first measurement is what was there before
        if load.calls < before.calls:
            before = replace(before, seconds=0.0, calls=0)
        seconds, calls = (0.0, 0) if total is None else (total.seconds, total.calls)
        return replace(load, seconds=seconds + load.seconds - before.seconds, calls=calls + load.calls - before.calls)


class RunRecorder:
    """A listener that keeps a run's report: of videos that are :meth:`noted <note>` and of jobs that are :meth:`added <add>`.

    ``earlier`` is the report of the run before, whose measured costs stand until this run has its own. ``clock`` gives
    seconds as ``time.monotonic``. Not thread-safe.
    """

    def __init__(
        self, conditions: Conditions, earlier: RunReport | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        same = earlier is not None and earlier.conditions == conditions
        self._earlier = dict(earlier.seconds_per_megapixel) if earlier is not None and same else {}
        self._stages = _StageTotals()
        self._clock = clock
        self._conditions = conditions
        self._started = time.time()
        self._videos: dict[str, _VideoAccount] = {}  # by name
        self._jobs: dict[str, _VideoAccount] = {}  # by project, as the scheduler knows them
        self._megapixels = dict.fromkeys(Role, 0.0)
        self._new_frames = 0
        self._waiting_for = ""
        self._recent: deque[tuple[float, int]] = deque()

    def note(self, report: VideoReport) -> None:
        """What is known of a video that is not being run (yet)."""
        self._videos[report.name] = _VideoAccount(report)

    def add(self, name: str, job: VideoJob) -> None:
        """A video that will be run from now on."""
        spec = job.spec
        known = self._conditions
        height, width = propagation_size(spec.height, spec.width, known.short_side, enlarge=known.enlarge)
        self._videos[name] = self._jobs[job.project] = _VideoAccount(
            VideoReport(name, job.uri, VideoState.WAITING.value, 0, spec.frame_count),
            spec.height * spec.width / 1e6,
            height * width / 1e6,
        )

    def __call__(self, event: Event) -> None:
        if isinstance(event, StagesMeasured):
            self._stages.add(event)
        elif isinstance(event, Waiting):
            self._waiting_for = event.what
        account = self._jobs.get(getattr(event, "video", ""))
        if account is not None:
            self._on_video(event, account)

    def _on_video(self, event: Event, account: _VideoAccount) -> None:
        match event:
            case VideoReplanned():
                _change(account, frames_done=event.frames_done)
            case VideoStarted():
                self._waiting_for = ""
                account.began = account.began or self._clock()
                _change(account, state=VideoState.TRACKING.value, frames_done=event.frames_done)
            case ChunkDecoded():
                self._megapixels[Role.DECODER] += event.bytes / 3e6
            case ChunkTracked():
                self._megapixels[Role.PROPAGATOR] += event.frames * account.working_megapixels
                self._megapixels[Role.REFINER] += event.frames * account.working_megapixels
            case ChunkCommitted():
                self._on_commit(event, account)
            case VideoEnded():
                _change(account, state=event.state, reason="" if event.error is None else str(event.error))

    def report(self, *, ended: bool = False) -> RunReport:
        """As of now."""
        now = time.time()
        stages = self._stages.loads
        return RunReport(
            started=self._started,
            updated=now,
            ended=now if ended else None,
            conditions=self._conditions,
            videos=tuple(account.report for account in self._videos.values()),
            stages=stages,
            bottleneck=bottleneck(stages),
            frames_per_second=self._recent_rate(),
            new_frames=self._new_frames,
            bytes_in_flight=self._stages.bytes_in_flight,
            waiting_for="" if ended else self._waiting_for,
            seconds_per_megapixel=self._earlier
            | {
                stage.role.value: stage.seconds / self._megapixels[stage.role]
                for stage in stages
                if stage.seconds and self._megapixels[stage.role]
            },
        )

    def _on_commit(self, event: ChunkCommitted, account: _VideoAccount) -> None:
        now = self._clock()
        self._megapixels[Role.WRITER] += event.frames * account.source_megapixels
        if event.new:
            account.new_frames += event.frames
            self._new_frames += event.frames
            self._recent.append((now, event.frames))
        rate = account.new_frames / (now - account.began) if now > account.began else 0.0
        _change(account, frames_done=event.frames_done, frames_per_second=rate)

    def _recent_rate(self) -> float:
        now = self._clock()
        while self._recent and self._recent[0][0] < now - WINDOW_SECONDS:
            self._recent.popleft()
        # The first commit only starts the clock: when its frames were begun is not known.
        frames = sum(frames for _, frames in self._recent) - (self._recent[0][1] if self._recent else 0)
        return frames / (now - self._recent[0][0]) if frames else 0.0


def _change(account: _VideoAccount, **changes: str | float) -> None:
    account.report = replace(account.report, **changes)  # type: ignore[arg-type]

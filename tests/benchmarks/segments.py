"""One film over many propagators, in simulated time: how much of them is used, from the first call to the last mask.

    python -m tests.benchmarks.segments --propagators 8 32

The film has 1,600 shots of the lengths that films have (log-normal, 5 seconds on average, the longest cut at 3,000 frames). The
schedule is the real one; workers only say how long they would be busy: 20 ms to track a frame, 150 ms of SAM in every other
chunk, 2 ms to decode a frame or to look through it for cuts, half a GOP more where a decoder jumps, 15 ms for each of four
references (measured: 0.73 of a frame) in the first session of a propagator that starts from them and 5 ms in all where one has
before, 40 ms to encode a chunk's masks and 5 ms to write them then (measured with 1080p), 3 ms
on the way to and from each. As in the preset for eight GPUs there are two decoders and a writer for each propagator. The time
that the schedule itself takes is measured and added.
Efficiency is frames a second over propagators x 50, from the opening of the project, shots to be found first, to its closing.
So neither the cores at hand nor Ray limit what can be asked; tests.benchmarks.scaling has those.

Measured, with three passes a propagator: 0.93 with 8 propagators and 0.91 with 32, of which looking for the shots first costs
0.06; the film's one writer is the limit beyond. docs/accuracy.md has the table.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import resource
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tam_dist.config import load_config
from tam_dist.coordination.calls import (
    Call,
    Completion,
    Decode,
    Encode,
    OpenPass,
    OpenProject,
    OpenSession,
    PassReceipt,
    Payload,
    ProjectReceipt,
    Receipt,
    Refer,
    Resume,
    Role,
    Scan,
    ScanReceipt,
    Segment,
    Step,
    StepReceipt,
    WorkerId,
    Write,
    WriteReceipt,
)
from tam_dist.coordination.events import ChunkTracked, Event
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.video import VideoJob
from tam_dist.due import SCAN_FRAMES, SHORTEST, unscanned
from tam_dist.media.shots import segments_at
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import ReferenceFrames, VideoGrid
from tam_dist.types import Cut, ShotScan

CHUNK = 16
TRACK, ANSWER, DECODE, JUMP, REFERENCE, SEEDED, ENCODE, WAY = 0.020, 0.150, 0.002, 0.250, 0.015, 0.005, 0.040, 0.003
REFERENCES = tuple(ReferenceFrames(chunk, ()) for chunk in range(4))


def shots(count: int, seed: int) -> list[Cut]:
    """The cuts of ``count`` shots, and one more at the film's end."""
    lengths = np.random.default_rng(seed).lognormal(np.log(90), 0.8, count)
    return [Cut(int(frame), 1.0) for frame in np.cumsum(np.maximum(lengths, 8))]


@dataclass
class Cluster:
    """An executor in which time passes only while it is waited for, by as much as the next answer takes."""

    counts: dict[Role, int]
    passes: tuple[Pass, ...]
    frames: int
    splits: bool
    write: float
    now: float = 0.0
    scanned: bool = False
    busy: dict[WorkerId, float] = field(default_factory=dict)
    seeded: set[WorkerId] = field(default_factory=set)
    jumps: dict[WorkerId, dict[int, int]] = field(default_factory=dict)  # the chunk after the last one, by lane

    def __post_init__(self) -> None:
        self._workers = {role: [WorkerId(role, n) for n in range(count)] for role, count in self.counts.items()}
        self._answers: list[tuple[float, int, Completion]] = []
        self._numbers = itertools.count()
        self._since = time.perf_counter()

    def workers(self, role: Role) -> Sequence[WorkerId]:
        return self._workers[role]

    def submit(self, worker: WorkerId, call: Call, *payloads: Payload) -> None:
        receipt, seconds = self._answer(worker, call)
        seconds += ENCODE if isinstance(call, Write) and len(payloads) == 1 else 0.0
        starts = max(self.now + WAY, self.busy.get(worker, 0.0))
        self.busy[worker] = starts + seconds
        heapq.heappush(
            self._answers, (starts + seconds + WAY, next(self._numbers), Completion(worker, call, receipt, "payload"))
        )

    def wait(self, timeout: float | None) -> Sequence[Completion]:
        self.now += time.perf_counter() - self._since
        at, _, done = heapq.heappop(self._answers)
        self.now = max(self.now, at)
        self._since = time.perf_counter()
        return [done]

    def abandon(self, worker: WorkerId, generation: int) -> None: ...

    def close(self) -> None: ...

    def _answer(self, worker: WorkerId, call: Call) -> tuple[Receipt, float]:
        match call:
            case OpenProject() if self.splits and not self.scanned:
                self.scanned = True
                return ProjectReceipt(0.0, (), frozenset(), unscanned=unscanned((), self.frames)), self.write
            case OpenProject():
                return ProjectReceipt(0.0, self.passes, frozenset(), REFERENCES), self.write
            case Scan():
                return ScanReceipt(0.0, ShotScan(call.start, call.stop, (), 0)), SCAN_FRAMES * DECODE + JUMP
            case OpenPass():
                return PassReceipt(0.0, call.plan.chunks.start, frozenset(), REFERENCES), self.write
            case OpenSession():
                seeded = worker in self.seeded
                self.seeded.add(worker)
                return Receipt(0.0), SEEDED if seeded else len(REFERENCES) * REFERENCE
            case Refer():
                return Receipt(0.0), ANSWER
            case Decode():
                lanes = self.jumps.setdefault(worker, {})
                jump = 0.0 if lanes.get(call.lane) == call.chunk else JUMP
                lanes[call.lane] = call.chunk + 1
                return Receipt(0.0), CHUNK * DECODE + jump
            case Step():
                asks = call.chunk % 2 == 1
                return StepReceipt(0.0, finished=not asks), CHUNK * TRACK / (2 if asks else 1)
            case Resume():
                return StepReceipt(0.0, finished=True), CHUNK * TRACK / 2
            case Segment():
                return Receipt(0.0), ANSWER
            case Encode():
                return Receipt(0.0), ENCODE
            case Write():
                return WriteReceipt(0.0), self.write
        return Receipt(0.0), 0.0


@dataclass
class Ends:
    """When each propagator tracked its last chunk."""

    cluster: Cluster
    tracked: deque[float] = field(default_factory=lambda: deque(maxlen=4096))

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChunkTracked):
            self.tracked.append(self.cluster.now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--propagators", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--shots", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=int, default=3000)
    parser.add_argument("--write", type=float, default=0.005, metavar="SECONDS", help="a chunk, by the film's one writer")
    parser.add_argument("--known", action="store_true", help="the shots were found before")
    arguments = parser.parse_args()
    *cuts, end = shots(arguments.shots, arguments.seed)
    found = segments_at(cuts, end.frame, CHUNK, least=SHORTEST * CHUNK, most=arguments.longest or None)
    passes = tuple(Pass(each.first, each.stop) for each in found)
    lengths = [each.stop - each.first for each in passes]
    print(f"{end.frame} frames, {arguments.shots} shots, {len(passes)} segments of {min(lengths)} to {max(lengths)} chunks")
    for count in arguments.propagators:
        config = load_config([f"cluster.sessions_per_propagator={arguments.sessions}", f"tracking.chunk_size={CHUNK}"])
        refiners = max(1, 2 * count // 3)
        counts = {Role.PROPAGATOR: count, Role.REFINER: refiners, Role.DECODER: 2 * count, Role.WRITER: count}
        cluster = Cluster(counts, passes, end.frame, splits=not arguments.known, write=arguments.write)
        ends = Ends(cluster)
        scheduler = Scheduler(cluster, config, ends)
        scheduler.add(VideoJob("film", "film", "pyav", VideoGrid(8, 8, end.frame, CHUNK)))
        began = time.process_time()
        scheduler.run()
        own = time.process_time() - began
        working = [cluster.busy.get(worker, 0.0) for worker in cluster.workers(Role.PROPAGATOR)]
        print(
            f"{count} propagators: {cluster.now:.0f} s, {end.frame / cluster.now:.0f} frames/s, "
            f"efficiency {end.frame * TRACK / cluster.now / count:.3f}; the first propagator without work "
            f"{cluster.now - min(working):.1f} s before the end; the schedule took {own:.1f} s; "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most"
        )


if __name__ == "__main__":
    main()

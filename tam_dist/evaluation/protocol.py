"""Running the benchmark through the engine as any user's video: a project a sequence, started from masks, clicks or boxes.

Clicks follow one protocol: the first at the interior point farthest from the object's border; each further one where SAM's
mask so far errs most, at the centre of the largest wrong region, until ``clicks`` are given. Only one frame is
prompted: the first, or one further on, from which tracking goes both ways.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tam_dist.config import Config, to_dict
from tam_dist.coordination.events import ChunkTracked, Event, VideoStarted
from tam_dist.evaluation.clicks import click_rounds
from tam_dist.evaluation.davis import DavisReport, ObjectScore, VideoSequence, score_sequence
from tam_dist.media.reader import open_video
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.preparation import prepare
from tam_dist.project import Project
from tam_dist.prompts import in_given_order, new_prompt
from tam_dist.running import run_inline
from tam_dist.types import BoolArray, Box, Clicks, Mask, Prompt, PromptData, UInt8Array

Initialisation = Literal["mask", "click", "box"]
#: By their names on the command line.
INITIALISATIONS: dict[str, Initialisation] = {"mask": "mask", "click": "click", "box": "box"}
Tell = Callable[[VideoSequence, list[ObjectScore]], None]


def evaluate_davis(
    sequences: Sequence[VideoSequence], config: Config, init: Initialisation, clicks: int, *, tell: Tell | None = None
) -> DavisReport:
    """Track every sequence and score it. ``frames_per_second`` counts tracked frames over the time from a session's opening to
    the end of its run, so loading models is left out.
    """
    segmenter = open_segmenter(config) if init == "click" else None
    scores: list[ObjectScore] = []
    frames, seconds = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for sequence in sequences:
            prompts = prompts_of(sequence, init, clicks, segmenter)
            job = prepare(str(sequence.frames), prompts, str(Path(folder) / sequence.name), config)
            clock = RunClock()
            (outcome,) = run_inline([job], config, listener=clock)
            outcome.raise_failure()
            frames, seconds = frames + job.spec.frame_count, seconds + clock.seconds
            found = list(score_sequence(sequence, labels_of(Project.open(outcome.project))))
            scores += found
            if tell is not None:
                tell(sequence, found)
    given = {"init": init, "clicks": clicks if init == "click" else None, "start": sequences[0].start}
    described = {**given, **to_dict(config)}
    return DavisReport(tuple(scores), frames / seconds, described)


class RunClock:
    """Seconds since the video's first session was opened, and ``frames`` tracked since."""

    def __init__(self) -> None:
        self._start: float | None = None
        self.frames = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, VideoStarted) and self._start is None:
            self._start = time.perf_counter()
        elif isinstance(event, ChunkTracked):
            self.frames += event.frames

    @property
    def seconds(self) -> float:
        return 0.0 if self._start is None else time.perf_counter() - self._start


def labels_of(project: Project) -> Callable[[int], UInt8Array]:
    """Label maps with the sequence's own ids, which are the objects' names."""
    table = np.zeros(256, np.uint8)
    for tracked in project.objects:
        table[tracked.id] = int(tracked.name)
    return lambda index: table[project.labels[index]]


def prompts_of(sequence: VideoSequence, init: Initialisation, clicks: int, segmenter: SupportsSegment | None) -> list[Prompt]:
    """What is given on the prompted frame: one prompt an object, named by its id in the sequence."""
    frame = sequence.prompted_frame
    with open_video(sequence.frames) as reader:
        image = reader.read(frame, frame + 1)[0]
    truth = sequence.labels(frame)
    return in_given_order(
        [new_prompt(frame, str(o), _prompt(image, truth == o, init, clicks, segmenter)) for o in sequence.objects()]
    )


def _prompt(
    image: UInt8Array, truth: BoolArray, init: Initialisation, clicks: int, segmenter: SupportsSegment | None
) -> PromptData:
    if init == "mask":
        return Mask.from_array(truth)
    if init == "box":
        rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
        return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    assert segmenter is not None
    *_, last = click_rounds(segmenter, image, truth, None, clicks, None)
    return Clicks(last.clicks)

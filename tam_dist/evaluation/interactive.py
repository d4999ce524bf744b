"""Corrections on the benchmark: how much better the masks are after each time that somebody looks at a frame.

A simulated annotator starts each sequence with clicks on its prompted frame. In each round they look at one frame, click up to
three times in the largest error that is left there, seeing after each click the mask that it gives (one that made it worse they
take back, and are done with that frame), and what they corrected is tracked. Which frame that is, is what is compared: that of
the review queue, a random one, the middle of the longest stretch nobody looked at, and the one that is worst in truth. No frame
is looked at twice.

The figures follow DAVIS's interactive track in spirit only: its annotator draws scribbles, and its time includes theirs. Here a
round is a frame, and time is that of tracking alone.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tam_dist.config import Config, to_dict
from tam_dist.evaluation.clicks import mask_iou, next_click
from tam_dist.evaluation.davis import VOID, VideoSequence, score_sequence
from tam_dist.evaluation.protocol import RunClock, labels_of, prompts_of
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.preparation import continue_project, prepare
from tam_dist.project import Project
from tam_dist.prompts import new_prompt
from tam_dist.running import run_inline
from tam_dist.steering import correct, review_queue
from tam_dist.steering.preview import Previewer
from tam_dist.types import BoolArray, Click, Clicks, Prompt

Choice = Literal["queue", "random", "uniform", "oracle"]
CHOICES: dict[str, Choice] = {"queue": "queue", "random": "random", "uniform": "uniform", "oracle": "oracle"}
#: After so many rounds the masks are scored.
SCORED = (0, 1, 2, 4, 8)
CLICKS_A_ROUND = 3
#: Seconds an object over which the area under the curve is taken, as DAVIS's interactive track does.
AUC_SECONDS = 60.0


@dataclass(frozen=True)
class Round:
    """After ``rounds`` rounds: mean J&F over the sequence's objects, 0..1, frames ``tracked`` and ``seconds`` that took, of all
    rounds so far, without loading the models.
    """

    rounds: int
    j_and_f: float
    tracked: int
    seconds: float


@dataclass(frozen=True)
class Curve:
    """Of one sequence with one way to choose frames; ``looked_at`` are these, in order."""

    sequence: str
    choice: str
    objects: int
    looked_at: tuple[int, ...]
    rounds: tuple[Round, ...]

    @property
    def auc(self) -> float:
        """Of J&F over :data:`AUC_SECONDS` of tracking an object; before the first masks it is 0."""
        points = [(r.seconds / self.objects, r.j_and_f) for r in self.rounds]
        return area_under(points, AUC_SECONDS)


@dataclass(frozen=True)
class InteractiveReport:
    curves: tuple[Curve, ...]
    config: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        choices = list(dict.fromkeys(curve.choice for curve in self.curves))
        return {
            "choices": {choice: self._mean(choice) for choice in choices},
            "curves": [asdict(curve) | {"auc": curve.auc} for curve in self.curves],
            "config": self.config,
        }

    def _mean(self, choice: str) -> dict[str, Any]:
        """Over sequences."""
        curves = [curve for curve in self.curves if curve.choice == choice]
        by_round = [[curve.rounds[n] for curve in curves] for n in range(len(curves[0].rounds))]
        rounds = [
            {
                "rounds": each[0].rounds,
                "J&F": float(np.mean([r.j_and_f for r in each])),
                "seconds": float(np.mean([r.seconds for r in each])),
                "tracked": float(np.mean([r.tracked for r in each])),
            }
            for each in by_round
        ]
        return {"rounds": rounds, f"auc_{AUC_SECONDS:g}s": float(np.mean([curve.auc for curve in curves]))}


Tell = Callable[[Curve], None]


def evaluate_interactive(
    sequences: Sequence[VideoSequence],
    config: Config,
    choices: Sequence[Choice],
    *,
    rounds: int = SCORED[-1],
    clicks: int = 1,
    seed: int = 0,
    tell: Tell | None = None,
) -> InteractiveReport:
    """Track every sequence from ``clicks`` on each object, then correct it for so many ``rounds`` with each of ``choices``."""
    segmenter = open_segmenter(config)
    curves: list[Curve] = []
    for sequence in sequences:
        with tempfile.TemporaryDirectory() as folder:
            start = Path(folder) / "start"
            prompts = prompts_of(sequence, "click", clicks, segmenter)
            job = prepare(str(sequence.frames), prompts, str(start), config)
            first = _tracked(0, 0.0, job.project, config, sequence)
            for choice in choices:
                project = Path(folder) / choice
                shutil.copytree(start, project)
                annotator = _Annotator(sequence, str(project), config, segmenter, choice, seed)
                curves.append(annotator.correct_in(rounds, first))
                if tell is not None:
                    tell(curves[-1])
    return InteractiveReport(tuple(curves), {"rounds": rounds, "clicks": clicks, "seed": seed, **to_dict(config)})


class _Annotator:
    def __init__(
        self,
        sequence: VideoSequence,
        project: str,
        config: Config,
        segmenter: SupportsSegment,
        choice: Choice,
        seed: int,
    ) -> None:
        self._sequence = sequence
        self._project = project
        self._config = config
        self._segmenter = segmenter
        self._choice = choice
        self._random = random.Random(f"{seed} {sequence.name}")  # noqa: S311
        self._length = len(sequence.label_files())
        self._looked_at = [sequence.prompted_frame]

    def correct_in(self, rounds: int, first: Round) -> Curve:
        found, last = [first], first
        for number in range(1, rounds + 1):
            frame = self._frame()
            self._looked_at.append(frame)
            prompts = self._clicks(frame)
            if prompts:
                correct(self._project, prompts)
                last = _tracked(last.tracked, last.seconds, self._project, self._config, None)
            if number in SCORED or number == rounds:
                last = Round(number, _j_and_f(self._sequence, self._project), last.tracked, last.seconds)
                found.append(last)
        objects = len(self._sequence.objects())
        return Curve(self._sequence.name, self._choice, objects, tuple(self._looked_at[1:]), tuple(found))

    def _frame(self) -> int:
        left = [frame for frame in range(self._length) if frame not in self._looked_at]
        match self._choice:
            case "random":
                return self._random.choice(left)
            case "uniform":
                return middle_of_widest_gap(self._looked_at, self._length)
            case "oracle":
                return min(left, key=lambda frame: min(self._ious(frame)))
            case "queue":
                suggested = [s.frame for s in review_queue(self._project, most=self._length, good_enough=2.0)]
                return next(
                    (frame for frame in suggested if frame in left), middle_of_widest_gap(self._looked_at, self._length)
                )

    def _ious(self, frame: int) -> list[float]:
        truth, ours = self._sequence.labels(frame), labels_of(Project.open(self._project))(frame)
        return [mask_iou(ours == o, truth == o, truth != VOID) for o in self._sequence.objects()]

    def _clicks(self, frame: int) -> list[Prompt]:
        """For the object that is worst at each moment, in the light of what the clicks so far would give."""
        truth = self._sequence.labels(frame)
        valid: BoolArray = truth != VOID
        labels = labels_of(Project.open(self._project))(frame)
        masks = {o: labels == o for o in self._sequence.objects()}
        given: dict[int, list[Click]] = {}
        with Previewer(self._project, self._segmenter) as previewer:
            for _ in range(CLICKS_A_ROUND):
                worst = min(masks, key=lambda o: mask_iou(masks[o], truth == o, valid))
                click = next_click(masks[worst], truth == worst, valid)
                if click is None:
                    break
                clicks = [*given.get(worst, ()), click]
                points = np.array([(c.x, c.y) for c in clicks], np.float32)
                shown = previewer.preview(frame, str(worst), points, np.array([int(c.positive) for c in clicks], np.int64)).mask
                if mask_iou(shown, truth == worst, valid) < mask_iou(masks[worst], truth == worst, valid):
                    break
                given[worst], masks[worst] = clicks, shown
        return [new_prompt(frame, str(o), Clicks(tuple(points))) for o, points in given.items()]


def middle_of_widest_gap(looked_at: Sequence[int], length: int) -> int:
    """The frame that halves the longest stretch without a frame looked at, the earliest of equals.

    >>> middle_of_widest_gap([0], 9), middle_of_widest_gap([0, 4], 9), middle_of_widest_gap([0, 4, 6], 9)
    (4, 6, 2)
    """
    edges = sorted({-1, *looked_at, length})
    first, last = max(pairwise(edges), key=lambda gap: gap[1] - gap[0])
    return (first + last) // 2


def area_under(points: Sequence[tuple[float, float]], until: float) -> float:
    """Mean over 0 to ``until`` of a step function that takes a value from its time on, 0 before the first.

    >>> area_under([(1.0, 0.5), (3.0, 1.0)], 4.0)
    0.5
    """
    ends = [*(at for at, _ in points[1:]), until]
    spans = ((min(end, until) - min(at, until), value) for (at, value), end in zip(points, ends, strict=True))
    return float(sum(max(0.0, span) * value for span, value in spans) / until)


def _tracked(frames: int, seconds: float, project: str, config: Config, sequence: VideoSequence | None) -> Round:
    """Bring a project up to date; scored where a ``sequence`` is given."""
    job, config = continue_project(project)
    clock = RunClock()
    (outcome,) = run_inline([job], config, listener=clock)
    outcome.raise_failure()
    score = 0.0 if sequence is None else _j_and_f(sequence, project)
    return Round(0, score, frames + clock.frames, seconds + clock.seconds)


def _j_and_f(sequence: VideoSequence, project: str) -> float:
    return float(np.mean([score.j_and_f for score in score_sequence(sequence, labels_of(Project.open(project)))]))

"""Step 3 of the paper for one session: score each frame's masks, ask SAM about poor ones, judge its answers.

The session asks, in this order for each frame: :meth:`Assessor.assess`, where something is due :meth:`Assessor.question` and
:meth:`Assessor.decide`, and once the masks are settled :meth:`Assessor.settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from tam_dist.config import RefinementConfig
from tam_dist.models.xmem.inference import EncodedFrame, Prediction
from tam_dist.tracking.quality.model import QualityScorer, confidence_alone
from tam_dist.tracking.quality.signals import SignalTracker
from tam_dist.tracking.refinement.acceptance import Answer, Verdict, judge
from tam_dist.tracking.refinement.points import EvidencePoints, evidence_points
from tam_dist.tracking.refinement.policy import RefinementPolicy
from tam_dist.types import BoolArray, FloatArray, ObjectQuery, SegmentationRequest, SegmentedMask

#: Logits of predicted masks handed to SAM stay within those of this probability and its complement.
_LOGIT_EPS = 1e-4


@dataclass(frozen=True, eq=False)
class Assessment:
    """``prediction`` without the objects that are ``absent``; ``quality`` by object id; ``due``: ids to ask SAM about."""

    prediction: Prediction
    quality: Mapping[int, float]
    absent: frozenset[int]
    due: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of one object in a frame, all (h, w): XMem's ``mask`` and ``others``' bool, ``probability``,
    ``foreground`` and ``rivals`` (the largest foreground that another object has) float32 0..1.
    """

    mask: BoolArray
    probability: FloatArray
    foreground: FloatArray
    others: BoolArray
    rivals: FloatArray
    points: EvidencePoints


@dataclass(frozen=True, eq=False)
class Decision:
    """What was asked about one object, what SAM answered (the best of its answers) and what became of it."""

    object_id: int
    quality: float
    evidence: Evidence
    answer: SegmentedMask
    measured: Answer
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Question:
    """Sent to SAM about one frame: two queries an object, so answers come in pairs."""

    number: int
    frame: EncodedFrame
    assessment: Assessment
    evidence: Mapping[int, Evidence]
    request: SegmentationRequest


@dataclass(frozen=True, eq=False)
class Observation:
    """An assessed frame, for whoever watches: ``decisions`` are empty where nothing was due."""

    number: int
    frame: EncodedFrame
    assessment: Assessment
    decisions: Sequence[Decision]
    assessor: Assessor


Watcher = Callable[[Observation], None]


@dataclass(eq=False)
class Assessor:
    """``size``: (H, W) of the source; ``watch`` hears of every assessed frame, for explanations."""

    config: RefinementConfig
    scorer: QualityScorer
    size: tuple[int, int]
    signals: SignalTracker = field(default_factory=SignalTracker)
    policy: RefinementPolicy = field(init=False)
    watch: Watcher | None = None

    def __post_init__(self) -> None:
        self.policy = RefinementPolicy(self.config)
        if self.config.score == "confidence":
            self.scorer = confidence_alone

    def assess(
        self, number: int, frame: EncodedFrame, prediction: Prediction, *, absent: frozenset[int], settled: bool, cut: bool
    ) -> Assessment:
        """``absent``: declared so by a person; ``settled``: a person gave masks on the frame, so nothing is asked."""
        scores = self.scorer(self.signals.observe(frame, prediction).cpu().numpy())
        quality = {i: float(q) for i, q in zip(prediction.object_ids, scores.iou, strict=True) if i not in absent}
        gone: frozenset[int] = frozenset()
        if self.config.presence:
            chances = {i: float(a) for i, a in zip(prediction.object_ids, scores.absent, strict=True)}
            gone = self.policy.presence({i: (q, chances[i]) for i, q in quality.items()})
            quality.update({i: chances[i] for i in gone})
            prediction = prediction.without(gone, frame.padding)
        due: tuple[int, ...] = ()
        if self.config.mode != "off" and not settled:
            due = self.policy.due(number, {i: q for i, q in quality.items() if i not in gone}, cut=cut)
        found = Assessment(prediction, quality, absent | gone, due)
        if self.watch is not None and not due:
            self.watch(Observation(number, frame, found, (), self))
        return found

    def question(self, number: int, frame: EncodedFrame, found: Assessment) -> Question:
        """What to ask SAM about ``found.due``: each object with the predicted mask alone, and with the points as well.

        On training videos neither was better throughout: points help where the mask is far off, and hurt where it is nearly
        right.
        """
        evidence = {i: self._evidence(frame, found.prediction, i) for i in found.due}
        queries: list[ObjectQuery] = []
        for object_id, known in evidence.items():
            logits = torch.logit(torch.from_numpy(known.probability), eps=_LOGIT_EPS).numpy()
            scale = np.array([self.size[1] / logits.shape[1], self.size[0] / logits.shape[0]], np.float32)
            points = (known.points.xy + 0.5) * scale - 0.5
            bare = ObjectQuery(object_id, points[:0], np.zeros(0, np.int64), None, logits)
            queries += [bare, replace(bare, points=points, point_labels=known.points.positive.astype(np.int64))]
        return Question(number, frame, found, evidence, SegmentationRequest(number, tuple(queries)))

    def weigh(self, question: Question, answers: Sequence[SegmentedMask]) -> list[Decision]:
        """Judge the better of each pair of answers. Changes nothing."""
        found, decisions = question.assessment, []
        for n, (object_id, known) in enumerate(question.evidence.items()):
            pair = [self._weighed(object_id, known, answer) for answer in answers[2 * n : 2 * n + 2]]
            answer, measured = max(pair, key=lambda each: each[1].expected_iou)
            verdict = judge(measured, found.quality[object_id], self.config.margin)
            decisions.append(Decision(object_id, found.quality[object_id], known, answer, measured, verdict))
        return decisions

    def decide(self, question: Question, answers: Sequence[SegmentedMask]) -> dict[int, SegmentedMask]:
        """The answers that take the place of predicted masks, by object id, excluding each other."""
        decisions = self.weigh(question, answers)
        if self.watch is not None:
            self.watch(Observation(question.number, question.frame, question.assessment, decisions, self))
        accepted = [d for d in decisions if d.verdict is Verdict.ACCEPTED]
        taken: BoolArray = np.zeros(self.size, bool)
        masks: dict[int, SegmentedMask] = {}
        for decision in sorted(accepted, key=lambda d: (-d.measured.expected_iou, d.object_id)):
            own = decision.answer.mask & ~taken
            taken |= own
            masks[decision.object_id] = SegmentedMask(decision.object_id, own, decision.measured.expected_iou)
        return dict(sorted(masks.items()))

    def settle(
        self,
        frame: EncodedFrame,
        probabilities: Tensor,
        ids: Sequence[int],
        given: frozenset[int],
        *,
        as_observed: bool,
    ) -> None:
        """After the frame: cropped ``probabilities`` (n+1, h, w) of ``ids``; ``given``: those a person gave masks for;
        ``as_observed``: no mask was given, refined or emptied since :meth:`assess`.
        """
        self.policy.given(given)
        self.signals.settle(frame, probabilities, ids, given, as_observed=as_observed)

    def learn(self, frame: EncodedFrame, probabilities: Tensor, ids: Sequence[int], given: frozenset[int]) -> None:
        """Of a frame from elsewhere in the video: ``probabilities`` (n+1, h, w) of ``ids``, masks of ``given`` by a person.

        It stands for the frame before the next one only where there was none. (It always did: every object seemed to jump.)
        """
        if self.signals.rows is None:
            self.settle(frame, probabilities, ids, given, as_observed=False)
        else:
            self.signals.learn(frame, probabilities, ids, given)

    def _evidence(self, frame: EncodedFrame, prediction: Prediction, object_id: int) -> Evidence:
        row = prediction.object_ids.index(object_id)
        probabilities = prediction.probabilities.float().cpu().numpy()
        winner = probabilities.argmax(0)
        cells = prediction.evidence.foreground.float().cpu().numpy()
        foreground = _full_size(cells[row], frame)
        rivals = _full_size(np.delete(cells, row, 0).max(0, initial=0), frame)
        own = winner == row + 1
        others = (winner != 0) & ~own
        probability = probabilities[row + 1]
        points = evidence_points(own, probability, foreground, others)
        return Evidence(own, probability, foreground, others, rivals, points)

    def _weighed(self, object_id: int, known: Evidence, answer: SegmentedMask) -> tuple[SegmentedMask, Answer]:
        size = known.probability.shape
        small = cv2.resize(answer.mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_AREA) > 0
        measured = Answer.of(
            np.asarray(small, bool),
            answer.score,
            own=known.mask,
            foreground=known.foreground,
            others=known.others,
            rivals=known.rivals,
            recent_area=self.signals.recent_area(object_id) * small.size,
        )
        return answer, measured

    # --- state -----------------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which :meth:`restore` goes on with the same bits."""
        tensors, signals = self.signals.state()
        return tensors, {"signals": signals, "policy": self.policy.state()}

    def restore(self, tensors: dict[str, Tensor], meta: Mapping[str, Any], device: torch.device) -> None:
        self.signals = SignalTracker.restore(tensors, meta["signals"], device)
        self.policy = RefinementPolicy.restore(self.config, meta["policy"])


def _full_size(cells: FloatArray, frame: EncodedFrame) -> FloatArray:
    """A value of each cell of memory for every pixel (h, w) of the frame."""
    height, width = frame.image.shape[-2:]
    full = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return np.asarray(frame.padding.crop(torch.from_numpy(full)))

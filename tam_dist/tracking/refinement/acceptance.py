"""Whether SAM's answer takes the place of XMem's mask: only where it is expected to be better.

An answer is compared with everything that is known without it: the score XMem's mask has, where memory's evidence lies, how
large the object was, whose pixels the others are. SAM alone must not decide: its confidence in a wrong object is as high as
in the right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tam_dist.types import BoolArray, FloatArray

#: Answers must be at least so sure (DAM4SAM, CVPR 2025, asks for 0.8 of a far larger SAM 2).
LEAST_SCORE = 0.6
#: Bounds on the answer's area, in recent areas of the object.
SMALLEST, LARGEST = 0.33, 4.0
#: Of the answer, so much must overlap XMem's mask or memory's foreground.
LEAST_AGREEMENT = 0.35
#: Of the pixels of other objects' masks, an answer may take so large a share of its own area.
LARGEST_THEFT = 0.1


class Verdict(StrEnum):
    """What became of an answer; all but the first keep XMem's mask."""

    ACCEPTED = "accepted"
    EMPTY = "SAM found nothing"
    UNSURE = "SAM was not sure enough"
    DISAGREES = "memory's evidence lies elsewhere"
    AREA = "too large or too small against recent frames"
    TAKES_OTHERS = "it takes another object's pixels"
    NO_BETTER = "not expected to be better than the propagated mask"


@dataclass(frozen=True)
class Answer:
    """What SAM's mask is judged by, all 0..1 but the areas: SAM's own ``score``; ``overlap``: IoU with XMem's mask;
    ``evidence``: IoU, soft, with memory's foreground; ``inside``: mean foreground in it; ``area`` in recent areas of the
    object; ``theft``: the share of it that other objects' masks cover; ``rival``: mean foreground of other objects in it.
    """

    score: float
    overlap: float
    evidence: float
    inside: float
    area: float
    theft: float
    rival: float

    @classmethod
    def of(
        cls,
        mask: BoolArray,
        score: float,
        *,
        own: BoolArray,
        foreground: FloatArray,
        others: BoolArray,
        rivals: FloatArray,
        recent_area: float,
    ) -> Answer:
        """All planes (h, w) of one size, ``own`` XMem's mask, ``rivals`` the largest foreground that another object has;
        ``recent_area`` in pixels, 0 where there is none.
        """
        size = int(np.count_nonzero(mask))
        if size == 0:
            return cls(score, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        soft = mask.astype(np.float32)
        return cls(
            score=score,
            overlap=float(np.count_nonzero(mask & own) / np.count_nonzero(mask | own)),
            evidence=float(np.minimum(soft, foreground).sum() / np.maximum(soft, foreground).sum()),
            inside=float(foreground[mask].mean()),
            area=size / recent_area if recent_area > 0 else 1.0,
            theft=np.count_nonzero(mask & others) / size,
            rival=float(rivals[mask].mean()),
        )

    @property
    def expected_iou(self) -> float:
        """A logistic model of the answer's IoU, fitted by ``tam_dist.training.quality`` on training videos with SAM's
        held-out images as objects.
        """
        bias, *weights = _EXPECTED_IOU
        return float(1 / (1 + np.exp(-(bias + sum(w * v for w, v in zip(weights, self.known, strict=True))))))

    @property
    def known(self) -> tuple[float, ...]:
        """What that model goes by."""
        return self.score, self.overlap, self.evidence, self.inside, self.rival


#: Bias, then the weights of score, overlap, evidence, inside and rival.
_EXPECTED_IOU = (-6.118, 6.699, 1.243, 0.883, 0.496, -0.022)


def judge(answer: Answer, quality: float, margin: float) -> Verdict:
    """``quality``: the score of the mask that stands now; ``margin``: by how much the answer must be expected to beat it."""
    if answer.area == 0:
        return Verdict.EMPTY
    if answer.score < LEAST_SCORE:
        return Verdict.UNSURE
    if answer.theft > LARGEST_THEFT:
        return Verdict.TAKES_OTHERS
    if max(answer.overlap, answer.inside) < LEAST_AGREEMENT:
        return Verdict.DISAGREES
    if not SMALLEST <= answer.area <= LARGEST:
        return Verdict.AREA
    if answer.expected_iou < quality + margin:
        return Verdict.NO_BETTER
    return Verdict.ACCEPTED

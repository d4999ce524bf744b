"""The contract: an answer is taken only where it is expected to be better, and says why it was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tam_dist.tracking.refinement.acceptance import Answer, Verdict, judge

GOOD = Answer(score=0.95, overlap=0.7, evidence=0.6, inside=0.9, area=1.1, theft=0.0, rival=0.0)


def test_a_sure_answer_replaces_a_poor_mask_and_not_a_good_one() -> None:
    assert judge(GOOD, quality=0.3, margin=0.05) is Verdict.ACCEPTED
    assert judge(GOOD, quality=0.99, margin=0.05) is Verdict.NO_BETTER


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (replace(GOOD, area=0.0), Verdict.EMPTY),
        (replace(GOOD, score=0.3), Verdict.UNSURE),
        (replace(GOOD, theft=0.5), Verdict.TAKES_OTHERS),
        (replace(GOOD, overlap=0.1, inside=0.1), Verdict.DISAGREES),
        (replace(GOOD, area=9.0), Verdict.AREA),
        (replace(GOOD, area=0.1), Verdict.AREA),
    ],
)
def test_gates(answer: Answer, verdict: Verdict) -> None:
    assert judge(answer, quality=0.0, margin=0.0) is verdict


def test_an_answer_is_measured_against_mask_evidence_and_neighbours() -> None:
    own = np.zeros((8, 8), np.float32)
    own[2:6, 2:6] = 0.9
    mask, others = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    mask[2:6, 2:8] = True
    others[:, 7] = True
    rivals = 0.3 * others.astype(np.float32)
    known = {"own": own > 0.5, "foreground": own, "others": others, "rivals": rivals}
    found = Answer.of(mask, 0.8, **known, recent_area=12)
    assert found.overlap == pytest.approx(16 / 24)
    assert found.inside == pytest.approx(0.9 * 16 / 24, abs=1e-6)
    assert found.area == 2.0
    assert found.theft == pytest.approx(4 / 24)
    assert found.rival == pytest.approx(0.3 * 4 / 24)
    nothing = Answer.of(np.zeros((8, 8), bool), 0.8, **known, recent_area=12)
    assert judge(nothing, 0.0, 0.0) is Verdict.EMPTY


def test_where_memory_sees_another_object_an_answer_is_expected_to_be_worse() -> None:
    assert replace(GOOD, rival=0.6).expected_iou < GOOD.expected_iou

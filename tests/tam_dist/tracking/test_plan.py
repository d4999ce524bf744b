from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tam_dist.errors import PromptError
from tam_dist.models.sam.rounds import CERTAIN_LOGIT
from tam_dist.tracking.plan import PromptPlan
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, PromptData, TrackedObject

CAT, DOG = TrackedObject(1, "cat", (255, 0, 0)), TrackedObject(2, "dog", (0, 255, 0))


def prompt(data: PromptData, *, frame: int = 0, name: str = "cat", time: float = 0.0) -> Prompt:
    return Prompt(f"{name}{frame}{time}{data.kind}", time, "ann", frame, name, data)


def click(x: float, y: float, positive: bool = True) -> Clicks:
    return Clicks((Click(x, y, positive),))


def test_clicks_on_one_frame_make_one_query_in_the_order_given() -> None:
    plan = PromptPlan([CAT], [prompt(click(3, 4, False), time=2.0), prompt(click(1, 2), time=1.0)])
    (asked,) = plan.at(0)
    query = asked.query(None)
    assert query.points.tolist() == [[1, 2], [3, 4]]
    assert query.point_labels.tolist() == [1, 0]
    assert query.mask_logits is None
    assert plan.first_frame == 0


def test_clicks_after_a_mask_refine_it_and_clicks_before_it_are_replaced() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    given_ = [prompt(click(9, 9), time=0.0), prompt(Mask.from_array(mask), time=1.0), prompt(click(1, 1, False), time=2.0)]
    (asked,) = PromptPlan([CAT], given_).at(0)
    assert asked.needs_segmentation
    query = asked.query(np.zeros((2, 3), np.float32))
    assert query.points.tolist() == [[1, 1]]
    assert query.mask_logits is not None
    assert np.array_equal(query.mask_logits > 0, mask)
    assert np.abs(query.mask_logits).max() == CERTAIN_LOGIT


def test_a_mask_alone_needs_no_segmentation_model() -> None:
    (asked,) = PromptPlan([CAT], [prompt(Mask.from_array(np.ones((2, 2), bool)))]).at(0)
    assert not asked.needs_segmentation
    assert asked.mask is not None


def test_a_box_goes_with_the_trackers_own_mask() -> None:
    (asked,) = PromptPlan([CAT], [prompt(Box(1, 2, 3, 4), frame=7)]).at(7)
    predicted = np.ones((3, 3), np.float32)
    query = asked.query(predicted)
    assert query.box is not None
    assert query.box.tolist() == [1, 2, 3, 4]
    assert query.mask_logits is predicted


def test_absences_end_objects_for_good_only_where_nothing_follows() -> None:
    spans = [prompt(Absent(3, 5)), prompt(Absent(6, 9)), prompt(click(1, 1))]
    plan = PromptPlan([CAT], spans)
    assert [f for f in range(12) if plan.absent(f)] == [3, 4, 5, 6, 7, 8, 9]
    assert plan.gone_for_good(4, frame_count=10) == {1}
    assert plan.gone_for_good(4, frame_count=11) == set()
    assert plan.gone_for_good(2, frame_count=10) == set()


def test_objects_and_prompts_must_be_there() -> None:
    with pytest.raises(PromptError, match="There is no object 'dog'"):
        PromptPlan([CAT], [prompt(click(1, 1), name="dog")])
    with pytest.raises(PromptError, match="No object has"):
        PromptPlan([CAT], [prompt(Absent(0, 3))])


@given(st.permutations(range(6)))
def test_the_plan_does_not_depend_on_the_order_of_the_log(order: list[int]) -> None:
    log = [prompt(click(i, i), frame=i % 2, name=("cat", "dog")[i % 3 % 2], time=float(i)) for i in range(6)]
    one, other = PromptPlan([CAT, DOG], log), PromptPlan([CAT, DOG], [log[i] for i in order])
    for frame in range(2):
        assert [(p.object_id, p.points) for p in one.at(frame)] == [(p.object_id, p.points) for p in other.at(frame)]

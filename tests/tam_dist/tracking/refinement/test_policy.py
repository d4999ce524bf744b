"""The contract: SAM is asked about poor masks, not too often, and presence does not flicker."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tam_dist.config import RefinementConfig
from tam_dist.tracking.refinement.policy import RefinementPolicy

CONFIG = RefinementConfig("on", "model", True, 0.5, 0.7, 4, True, 1.0, 0.05, 0.2, 0.1)


def ask(policy: RefinementPolicy, *scores: float, cut: bool = False) -> list[int]:
    """Frames on which object 1, with these scores, is asked about."""
    return [n for n, q in enumerate(scores) if policy.due(n, {1: q}, cut=cut)]


def test_a_poor_mask_is_asked_about_at_once_and_then_every_few_frames() -> None:
    assert ask(RefinementPolicy(CONFIG), 0.9, 0.4, 0.4, 0.4, 0.4, 0.4, 0.9, 0.9) == [1, 5]


def test_a_mask_stays_poor_until_it_is_clearly_good() -> None:
    assert ask(RefinementPolicy(CONFIG), 0.4, 0.9, 0.9, 0.9, 0.6, 0.4) == [0, 5]  # good again: 0.6 is not under the threshold
    assert ask(RefinementPolicy(CONFIG), 0.4, 0.6, 0.6, 0.6, 0.6) == [0, 4]  # never above the release


def test_cuts_are_always_asked_about() -> None:
    policy = RefinementPolicy(replace(CONFIG, max_share=0.0))
    assert policy.due(0, {1: 0.99, 2: 0.99}, cut=True) == (1, 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0, 1), st.integers(1, 9))
def test_no_more_frames_than_their_share_are_refined(scores: list[float], share: float, every: int) -> None:
    policy = RefinementPolicy(replace(CONFIG, max_share=share, every=every))
    asked = ask(policy, *scores)
    assert len(asked) <= 3 + share * len(scores)
    assert all(b - a >= every for a, b in itertools.pairwise(asked))


def test_presence_changes_its_mind_only_when_it_is_clear() -> None:
    policy = RefinementPolicy(CONFIG)
    doubtful = [(0.4, 0.5), (0.5, 0.5), (0.3, 0.6), (0.4, 0.5), (0.5, 0.5), (0.7, 0.3), (0.5, 0.5)]
    seen = [bool(policy.presence({1: each})) for each in doubtful]
    assert seen == [False, False, True, True, True, False, False]


@pytest.mark.parametrize(("margin", "back_at"), [(0.0, 1), (0.2, 2), (-1, 3)])
def test_what_is_gone_is_back_with_a_margin_of_its_own(margin: float, back_at: int) -> None:
    """-1: with the margin by which it has to be clear that something is gone, as it was before there was one of its own."""
    policy = RefinementPolicy(replace(CONFIG, presence_margin=0.4, return_margin=margin))
    seen = [(0.1, 0.9), (0.55, 0.45), (0.65, 0.35), (0.75, 0.25)]
    gone = [bool(policy.presence({1: each})) for each in seen]
    assert gone == [n < back_at for n in range(len(seen))]


def test_a_persons_mask_ends_an_absence() -> None:
    policy = RefinementPolicy(CONFIG)
    policy.presence({1: (0.0, 1.0)})
    policy.given([1])
    assert not policy.presence({1: (0.5, 0.5)})


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.data())
def test_a_restored_policy_decides_as_the_one_that_was_saved(scores: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(scores) - 1))
    whole, first = RefinementPolicy(CONFIG), RefinementPolicy(CONFIG)
    asked = [bool(whole.due(n, {1: q}, cut=False)) for n, q in enumerate(scores)]
    for n, q in enumerate(scores[:at]):
        first.due(n, {1: q}, cut=False)
    restored = RefinementPolicy.restore(CONFIG, json.loads(json.dumps(first.state())))
    assert [bool(restored.due(n + at, {1: q}, cut=False)) for n, q in enumerate(scores[at:])] == asked[at:]

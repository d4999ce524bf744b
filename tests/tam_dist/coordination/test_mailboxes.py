"""Each driver hears of its own videos, once, in order, and is given up when it is silent."""

from __future__ import annotations

import pytest

from tam_dist.coordination.events import SegmentationAsked
from tam_dist.coordination.mailboxes import GivenUpError, Mailboxes


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_driver_hears_of_its_own_videos_and_may_ask_again() -> None:
    boxes = Mailboxes(lease=15)
    boxes.join("me", ["a"])
    for video, chunk in [("a", 0), ("b", 0), ("a", 1)]:
        boxes.put(SegmentationAsked(video, chunk))
    first = boxes.take("me", 0, timeout=0)
    assert first.events == (SegmentationAsked("a", 0), SegmentationAsked("a", 1))
    assert boxes.take("me", 0, timeout=0) == first  # an answer that was lost on its way
    assert boxes.take("me", first.next, timeout=0).events == ()


def test_a_silent_driver_is_given_up_and_the_last_one_ends_the_lease() -> None:
    clock = Clock()
    boxes = Mailboxes(lease=15, clock=clock)
    boxes.join("a", ["x"])
    boxes.join("b", ["x"])
    clock.now += 14
    boxes.take("a", 0, timeout=0)
    clock.now += 2
    boxes.give_up_the_silent()
    assert boxes.alive
    assert boxes.count == 1
    with pytest.raises(GivenUpError):
        boxes.take("b", 0, timeout=0)
    boxes.leave("a")
    clock.now += 14
    assert boxes.alive  # a next run may come and use the loaded models
    clock.now += 2
    assert not boxes.alive

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

import tam_dist
from tam_dist.cli.notes import doubts
from tam_dist.types import Prompt, TrackedObject


@dataclass
class Tracked:
    """What is looked at of a project."""

    objects: tuple[TrackedObject, ...]
    prompts: tuple[Prompt, ...]
    labels: tuple[np.ndarray, ...]


def test_an_object_whose_click_another_ones_mask_covers_is_told() -> None:
    """It has what the other leaves, and nothing else would say so."""
    objects = tuple(TrackedObject(i, name, (0, 0, 0)) for i, name in enumerate(("first", "second"), 1))
    labels = np.zeros((48, 64), np.uint8)
    labels[8:30, 2:50] = 1
    labels[40:44, 2:9] = 2
    clicks = (tam_dist.click("first", 10, 12), tam_dist.click("second", 20, 12))
    (doubt,) = doubts(cast(tam_dist.Project, Tracked(objects, clicks, (labels,))))
    assert doubt == "'second' may be another object's double on frame 0: the mask of 'first' covers its click"
    labels[12, 20] = 2
    assert not list(doubts(cast(tam_dist.Project, Tracked(objects, clicks, (labels,)))))

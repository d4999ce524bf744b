"""Whatever can be done has a key, each key does one thing, and the help tells of all."""

from __future__ import annotations

import re

from tam_dist.review.app import STATIC

KEYS = (STATIC / "keys.js").read_text()
ACTIONS = KEYS.partition("actionOf")[2]


def bound() -> list[str]:
    """Actions that a key leads to."""
    return re.findall(r'(?:\w+|"[^"]+"): (?:event\.shiftKey \? )?"(\w+)"(?: : "(\w+)")?', ACTIONS)


def test_every_action_of_the_viewer_has_a_key() -> None:
    review = (STATIC / "review.js").read_text()
    acts = review.partition("const acts = {")[2].partition("\n    };")[0]
    known = set(re.findall(r"(?:^|[ ,{])(\w+): (?:async )?\(\) =>", acts))
    assert {"accept", "lock", "undo", "redo", "nextSpot", "replace", "fit"} <= known
    led = {action for pair in bound() for action in pair if action}
    assert known <= led, known - led
    assert led - known <= {"help", "theme", "projects"}


def test_the_help_tells_of_every_letter() -> None:
    letters = set(re.findall(r"(?<=[ {])([a-z]): ", ACTIONS))
    told = {key.lower() for row in re.findall(r'\["([^"]+)", "[^"]+"\]', KEYS) for key in row.split()}
    assert len(letters) > 15
    assert letters <= told, letters - told

"""Colours: text is legible on every ground it stands on (WCAG 2 AA, contrast of 4.5), dark and light."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tam_dist.review.app import STATIC

GROUNDS = ("bg", "surface", "raised", "hover")
TEXTS = ("text", "dim", "warn", "bad")
#: Text on a ground of its own: what is pressed, told, or counted.
PAIRS = [*product(TEXTS, GROUNDS), ("on-accent", "accent"), ("on-bad", "bad"), ("on-warn", "warn"), ("bg", "text")]
#: What is no text but has to be seen: at least 3.
SEEN = [*product(("accent", "good"), GROUNDS)]


def themes() -> dict[str, dict[str, str]]:
    css = (STATIC / "theme.css").read_text()
    blocks = re.findall(r"([^{}]+)\{([^{}]*--bg[^{}]*)\}", css)
    found = {selector.strip(): dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\s*;", body)) for selector, body in blocks}
    assert len(found) == 3
    return found


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", themes())
def test_text_is_legible(theme: str) -> None:
    colours = themes()[theme]
    for text, ground in PAIRS:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for mark, ground in SEEN:
        assert contrast(colours[mark], colours[ground]) >= 3, (mark, ground)


def test_light_is_the_same_by_choice_and_by_the_systems_setting() -> None:
    _, chosen, preferred = themes().values()
    assert chosen == preferred


def test_every_colour_of_text_is_checked() -> None:
    """Whoever writes a rule with another one adds it above."""
    css = "".join((STATIC / name).read_text() for name in ("app.css", "login.css"))
    used = set(re.findall(r"(?<![-\w])color: var\(--([\w-]+)\)", css))
    assert used <= {text for text, _ in PAIRS}
    plain = set(re.findall(r"(?<![-\w])color: (#\w+)", css))
    assert plain <= {"#fff"}  # on the picture's own dark labels

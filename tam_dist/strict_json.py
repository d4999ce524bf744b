"""JSON that people write: what Python's own reader lets pass, or dies of, is refused with a reason."""

from __future__ import annotations

import json
import math
from typing import Any

#: More digits than any frame number or coordinate has; Python refuses to print integers of some thousands.
_MAX_DIGITS = 100


def parse(text: str | bytes) -> Any:
    """The value. Raises :class:`ValueError` with one line that says what is wrong.

    >>> parse('{"frame": 1, "frame": 2}')
    Traceback (most recent call last):
    ValueError: the field "frame" is there twice
    """
    try:
        return json.loads(
            text, object_pairs_hook=_without_duplicates, parse_int=_integer, parse_float=_number, parse_constant=_constant
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8 ({error.reason} at byte {error.start})") from error


def shown(value: object, width: int = 80) -> str:
    """A value as its writer wrote it, for an error; shortened.

    >>> shown([1, 2, True])
    '[1, 2, true]'
    """
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        text = f"a {type(value).__name__}"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python keeps the last of two, so that a click copied and changed would silently replace the first."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the field {shown(key)} is there twice")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"the number {digits[:20]}... has {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number")

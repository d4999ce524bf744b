"""What is asked of an export, as plain data: it is compared, sent to other processes and written into ``export.json``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tam_dist.errors import ExportError

_RANGE = re.compile(r"(?P<first>\d+)(\.\.(?P<last>\d+))?")


@dataclass(frozen=True)
class ExportRequest:
    """``objects`` by name, none for all; ``frames`` first and last, both included, None for all; ``every``: each n-th of them.

    ``partial`` takes what is there of a video that is not tracked to its end, leaving out the frames that are missing.
    ``images`` adds the source's frames as JPEGs, where the format has a place for them; ``sound`` keeps it in an overlay.
    """

    format: str
    objects: tuple[str, ...] = ()
    frames: tuple[int, int] | None = None
    every: int = 1
    partial: bool = False
    images: bool = False
    sound: bool = True


def parse_range(text: str) -> tuple[int, int]:
    """
    >>> parse_range("10..20"), parse_range("7")
    ((10, 20), (7, 7))
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise ExportError(f"--frames {text!r} is not a range of frames: write 10..20, both included, or one number.")
    first = int(match["first"])
    last = first if match["last"] is None else int(match["last"])
    if last < first:
        raise ExportError(f"--frames {text!r} ends before it begins: write the smaller number first.")
    return first, last

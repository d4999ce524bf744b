"""Masks as runs of pixels: COCO's column by column, CVAT's and VOT's row by row inside a box, Label Studio's packed bits.

All objects of a label map are taken apart in one pass over its pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from tam_dist.types import BoolArray, LabelArray, TrackedObject

Int64Array = NDArray[np.int64]


class CocoRle(TypedDict):
    """A mask as COCO's JSON has it: ``size`` is [height, width], ``counts`` pycocotools' compressed text."""

    size: list[int]
    counts: str


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """A label map's runs of equal pixels, column by column: where each starts, how long it is, its label; all (R,)."""

    height: int
    width: int
    starts: Int64Array
    lengths: Int64Array
    labels: LabelArray

    @classmethod
    def of(cls, labels: LabelArray) -> LabelRuns:
        """``labels``: uint8 or uint16 (H, W)."""
        flat = labels.ravel(order="F")
        starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
        height, width = labels.shape
        return cls(height, width, starts, np.diff(starts, append=flat.size), flat[starts])

    def area(self, id_: int) -> int:
        return int(self.lengths[self.labels == id_].sum())

    def box(self, id_: int) -> tuple[int, int, int, int] | None:
        """x, y, width, height of the object; None where it is not there."""
        mine = self.labels == id_
        if not mine.any():
            return None
        first, last = self.starts[mine], self.starts[mine] + self.lengths[mine] - 1
        x, right = int(first[0]) // self.height, int(last[-1]) // self.height
        whole = first // self.height != last // self.height  # a run that goes on in the next column touches top and bottom
        y = 0 if whole.any() else int((first % self.height).min())
        bottom = self.height - 1 if whole.any() else int((last % self.height).max())
        return x, y, right - x + 1, bottom - y + 1

    def counts(self, id_: int) -> list[int]:
        """Lengths of the runs of the object's mask, column by column, the first of zeros (perhaps none of them)."""
        mine = self.labels == id_
        return _alternating(self.starts[mine], self.lengths[mine], self.height * self.width)

    def coco(self, id_: int) -> CocoRle:
        """The object's mask; an empty one where it is not there."""
        from pycocotools import mask as coco

        counts = self.counts(id_)
        rle = coco.frPyObjects({"size": [self.height, self.width], "counts": counts}, self.height, self.width)
        return {"size": [self.height, self.width], "counts": rle["counts"].decode("ascii")}


def row_counts(mask: BoolArray) -> list[int]:
    """Lengths of the runs of ``mask`` (h, w), row by row, the first of zeros (perhaps none of them).

    >>> row_counts(np.array([[True, True], [False, True]]))
    [0, 2, 1, 1]
    """
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(edges, prepend=0, append=flat.size)
    return [0, *lengths.tolist()] if flat.size and flat[0] else cast("list[int]", lengths.tolist())


def from_row_counts(counts: Sequence[int], height: int, width: int) -> BoolArray:
    """The inverse of :func:`row_counts`; ones or zeros may be missing at the end. Raises :class:`ValueError`."""
    lengths = np.asarray(counts, np.int64)
    if lengths.size and (lengths.min() < 0 or lengths.sum() > height * width):
        raise ValueError(f"its runs do not fit a box of {width}x{height}")
    flat = np.zeros(height * width, bool)
    values = np.repeat(np.arange(lengths.size) % 2 == 1, lengths)
    flat[: values.size] = values
    return flat.reshape(height, width)


def coco_mask(rle: dict[str, Any]) -> BoolArray:
    """bool (H, W) of a COCO RLE, compressed or a list of counts. Raises :class:`ValueError` where it is none."""
    from pycocotools import mask as coco

    height, width = (int(v) for v in rle["size"])
    counts = rle["counts"]
    if not (0 < height <= 1 << 15 and 0 < width <= 1 << 15):
        raise ValueError(f"its size {width}x{height} is no picture's")
    if isinstance(counts, list):
        return from_row_counts(counts, width, height).T
    runs = _decompressed(counts.encode("ascii") if isinstance(counts, str) else counts)
    if sum(runs) != height * width or min(runs, default=0) < 0:  # pycocotools would write beyond its memory
        raise ValueError(f"its runs do not fill {width}x{height}")
    return cast(BoolArray, coco.decode({"size": [height, width], "counts": counts}).astype(bool))


def category(name: str) -> str:
    """What kind of thing an object is, from its name: all but a number at its end.

    >>> category("cat 2"), category("cat-left"), category("object_12"), category("7")
    ('cat', 'cat-left', 'object', '7')
    """
    return re.sub(r"[\s_\-#.]*\d+$", "", name) or name


#: MOTS's class numbers; 10 marks regions to be ignored.
_MOTS_CLASSES = {"car": 1, "pedestrian": 2, "person": 2}
_MOTS_RESERVED = frozenset({1, 2, 10})


def categories(objects: Sequence[TrackedObject]) -> dict[str, int]:
    """MOTS's class number of each category of ``objects``: 1 for cars, 2 for pedestrians, others from 3."""
    numbers: dict[str, int] = {}
    free = (n for n in range(3, 10_000) if n not in _MOTS_RESERVED)
    for name in dict.fromkeys(category(o.name) for o in objects):
        numbers[name] = _MOTS_CLASSES[name.lower()] if name.lower() in _MOTS_CLASSES else next(free)
    return numbers


def _alternating(starts: Int64Array, lengths: Int64Array, total: int) -> list[int]:
    """Counts of zeros and ones in turn."""
    if not starts.size:
        return [total]
    ends = starts + lengths
    zeros = starts - np.concatenate(([0], ends[:-1]))
    counts = np.stack([zeros, lengths], axis=1).ravel().tolist()
    return [*counts, total - int(ends[-1])] if ends[-1] < total else counts


def _decompressed(text: bytes) -> list[int]:
    """The counts of COCO's text: numbers in groups of five bits, from the fourth on less the one before the last."""
    runs: list[int] = []
    value = shift = 0
    for byte in text:
        group = byte - 48
        if not 0 <= group < 64:
            raise ValueError("its counts are not a COCO run-length code")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs

"""Where a film cuts from one shot to the next, found while it is decoded, and the segments of work that follow from it.

Two steps, so that decoders may take chunks in any order: :func:`signatures` makes a few hundred numbers of each frame by
itself; :class:`CutFinder` takes these in the order of frames, however they are cut into chunks, and remembers a dozen.

A frame begins a shot where it differs from the one before by far more than the frames around differ from theirs. So a fast
pan, in which all differ, is no cut, and a cut within one still is. What comes back within half a second (a flash, a muzzle,
a photographer) is none. Out of black or white, a shot begins with its first picture. Slow dissolves are not found: a tracker
that follows an object through one does well to go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tam_dist.types import Cut, ShotScan, UInt8Array

if TYPE_CHECKING:
    from tam_dist.media.reader import VideoReader

ROWS, COLUMNS = 18, 32  # cells of a signature
_SAMPLES = 2  # pixels a cell samples down and across: of the whole picture that is a fraction, and enough

_READ_AT_ONCE = 16

_LEAST = 12.0  # mean difference, of 255, below which nothing is a cut
_OUTSTANDING = 3.0  # times the usual difference around it
_AROUND = 6  # frames to each side that say what is usual
_FLASH = 12  # frames within which a flash is over
_BACK = 0.35  # of the largest jump between them: two pictures nearer than that are of one shot
_DARK, _BRIGHT = 20.0, 235.0  # means of a picture that has faded out
_FLAT = 8.0  # its mean deviation from them, at most
_FADED = 4  # frames of it that make a fade; fewer are a flicker


@dataclass(frozen=True)
class Segment:
    """Chunks ``first`` to ``stop`` (exclusive), tracked by themselves. ``cuts`` are the frames inside that begin a shot: those
    near a border that the chunk grid moved, and those of shots too short for segments of their own.
    """

    first: int
    stop: int
    cuts: tuple[int, ...] = ()


def signatures(frames: UInt8Array) -> UInt8Array:
    """uint8 (n, ROWS, COLUMNS, 3) of uint8 (n, H, W, 3): the means of a few pixels in each cell of a grid over the picture."""
    height, width = frames.shape[1:3]
    down = (np.arange(ROWS * _SAMPLES) * 2 + 1) * height // (2 * ROWS * _SAMPLES)
    across = (np.arange(COLUMNS * _SAMPLES) * 2 + 1) * width // (2 * COLUMNS * _SAMPLES)
    few = np.take(frames[:, down], across, axis=2).astype(np.uint16)
    rows = np.add.reduce([few[:, i::_SAMPLES] for i in range(_SAMPLES)])
    cells = np.add.reduce([rows[:, :, i::_SAMPLES] for i in range(_SAMPLES)])
    means: UInt8Array = (cells // _SAMPLES**2).astype(np.uint8)
    return means


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame: ``jump`` is its difference from the one before, ``faded`` how many in a row up to it have faded out."""

    signature: NDArray[np.int16]
    jump: float
    faded: int


class CutFinder:
    """Give it the signatures of all frames in order; it gives the cuts, each within ``LATENCY`` frames of its passing.

    Whether a frame begins a shot depends on ``LATENCY`` frames to each side of it, and on whether a picture has come before,
    which ``begun`` says of the time before the first frame given.
    """

    LATENCY = _FLASH

    def __init__(self, *, begun: bool = False) -> None:
        self._count = 0
        self._recent: deque[_Seen] = deque(maxlen=2 * _FLASH + 2)
        self._begun = begun

    def push(self, signatures: UInt8Array) -> list[Cut]:
        """``signatures`` (n, ROWS, COLUMNS, 3) of the next n frames. Returns the cuts that are certain now, in order."""
        found: list[Cut] = []
        if not len(signatures):
            return found
        marks = signatures.astype(np.int16)
        first = self._recent[-1].signature if self._recent else marks[0]
        jumps = _distances(marks, np.concatenate([first[None], marks[:-1]]))
        for signature, jump, faded in zip(marks, jumps, _have_faded(marks), strict=True):
            run = self._recent[-1].faded if self._recent else 0
            self._recent.append(_Seen(signature, float(jump), run + 1 if faded else 0))
            self._count += 1
            found += self._decide(self._count - 1 - _FLASH)
        return found

    def finish(self) -> list[Cut]:
        """The cuts among the last frames; nothing may be pushed afterwards."""
        return [cut for frame in range(max(0, self._count - _FLASH), self._count) for cut in self._decide(frame)]

    def _decide(self, frame: int) -> list[Cut]:
        """Whether ``frame`` begins a shot, with what is known of those behind it."""
        if frame < 0:
            return []
        at = frame - self._count + len(self._recent)
        now = self._recent[at]
        begun, self._begun = self._begun, self._begun or not now.faded
        if not begun or at == 0:
            return []
        out_of_fade = not now.faded and self._recent[at - 1].faded >= _FADED
        if not out_of_fade and not (self._stands_out(at) and not self._comes_back(at)):
            return []
        return [Cut(frame, min(1.0, round(now.jump / 255, 4)))]

    def _stands_out(self, at: int) -> bool:
        jump = self._recent[at].jump
        if jump < _LEAST:
            return False
        around = range(max(1, at - _AROUND), min(len(self._recent), at + _AROUND + 1))
        usual = sorted(self._recent[i].jump for i in around if i != at)
        return not usual or jump >= _OUTSTANDING * usual[len(usual) // 2]

    def _comes_back(self, at: int) -> bool:
        """Whether a picture from before is seen again soon behind it, as on both sides of a flash."""
        first, stop = max(0, at - _FLASH), min(len(self._recent), at + _FLASH + 1)
        seen = [self._recent[i] for i in range(first, stop)]
        marks, jumps = np.stack([each.signature for each in seen]), np.array([each.jump for each in seen])
        at -= first
        for before in reversed(range(at)):
            largest = np.maximum.accumulate(jumps[before + 1 :])[at - before - 1 :]  # on the way to each frame behind
            if (_distances(marks[at:], marks[before]) < _BACK * largest).any():
                return True
        return False


def find_cuts(signatures: UInt8Array) -> list[Cut]:
    """All cuts of a film whose signatures (T, ROWS, COLUMNS, 3) are at hand."""
    finder = CutFinder()
    return finder.push(signatures) + finder.finish()


def scan(signatures: UInt8Array, first: int, start: int, stop: int) -> ShotScan:
    """Frames ``start`` to ``stop`` of a film, from the ``signatures`` (n, ROWS, COLUMNS, 3) of frame ``first`` and those behind
    it: at least ``CutFinder.LATENCY`` frames more to each side, where the film has them.
    """
    finder = CutFinder(begun=True)
    found = (Cut(cut.frame + first, cut.strength) for cut in (*finder.push(signatures), *finder.finish()))
    pictures = np.flatnonzero(~_have_faded(signatures[start - first : stop - first].astype(np.int16)))
    cuts = tuple(cut for cut in found if max(1, start) <= cut.frame < stop)
    return ShotScan(start, stop, cuts, start + int(pictures[0]) if len(pictures) else None)


def cuts_of(scans: Iterable[ShotScan]) -> list[Cut]:
    """All cuts of a film that ``scans`` cover, whatever their lengths: those that :func:`find_cuts` finds."""
    known = list(scans)
    first = min((each.picture for each in known if each.picture is not None), default=0)
    return sorted(cut for each in known for cut in each.cuts if cut.frame > first)


def _distances(a: NDArray[np.int16], b: NDArray[np.int16]) -> NDArray[np.float64]:
    """float64 (n,), 0..255: mean differences of signatures; quotients of whole numbers, the same on every machine."""
    cells = ROWS * COLUMNS * 3
    sums: NDArray[np.int64] = np.abs(a - b).reshape(-1, cells).sum(1, dtype=np.int64)
    return sums / np.float64(cells)


def _have_faded(marks: NDArray[np.int16]) -> NDArray[np.bool_]:
    """bool (n,): which pictures are all black or all white, but for what is left of them at the end of a fade."""
    mean = marks.reshape(len(marks), -1).sum(1, dtype=np.int64) / np.float64(marks[0].size)
    level = np.round(mean).astype(np.int16)[:, None, None, None]
    flat = _distances(marks, np.broadcast_to(level, marks.shape)) <= _FLAT
    faded: NDArray[np.bool_] = flat & ((mean < _DARK) | (mean > _BRIGHT))
    return faded


def cuts_of_video(reader: VideoReader) -> Iterator[Cut]:
    """The cuts of a whole video, in order, each soon after it is decoded. Raises :class:`VideoError` as ``reader`` does."""
    finder, total = CutFinder(), reader.info.frame_count
    for start in range(0, total, _READ_AT_ONCE):
        yield from finder.push(signatures(reader.read(start, min(start + _READ_AT_ONCE, total))))
    yield from finder.finish()


def scan_video(reader: VideoReader, start: int, stop: int) -> ShotScan:
    """Frames ``start`` to ``stop`` of a video. Decodes ``CutFinder.LATENCY`` frames more to each side, and holds few at a time.
    Raises :class:`VideoError` as ``reader`` does.
    """
    first, last = max(0, start - CutFinder.LATENCY), min(reader.info.frame_count, stop + CutFinder.LATENCY)
    edges = [*range(first, last, _READ_AT_ONCE), last]
    return scan(np.concatenate([signatures(reader.read(a, b)) for a, b in pairwise(edges)]), first, start, stop)


# --- from cuts to work -------------------------------------------------------------------------------------------------


def without_short_shots(cuts: Sequence[Cut], frame_count: int, least: int) -> list[Cut]:
    """Those cuts that remain when each shot of fewer than ``least`` frames joins its neighbour over the weaker cut.

    The shortest shot goes first, of equal ones the first.

    >>> [c.frame for c in without_short_shots([Cut(10, 0.9), Cut(13, 0.2), Cut(40, 0.5)], 60, 8)]
    [10, 40]
    """
    kept = sorted(cut for cut in cuts if 0 < cut.frame < frame_count)
    while kept:
        edges = [0, *(cut.frame for cut in kept), frame_count]
        lengths = [after - before for before, after in pairwise(edges)]
        shortest = min(range(len(lengths)), key=lengths.__getitem__)
        if lengths[shortest] >= least:
            break
        sides = [i for i in (shortest - 1, shortest) if 0 <= i < len(kept)]
        del kept[min(sides, key=lambda i: kept[i].strength)]
    return kept


def segments_at(
    cuts: Sequence[Cut], frame_count: int, chunk_size: int, *, least: int = 1, most: int | None = None
) -> tuple[Segment, ...]:
    """The segments of a film: its shots on the chunk grid, in order, without a gap.

    A border is the grid's nearest to the cut (the later of two as near), so at most half a chunk of frames is tracked with the
    neighbouring shot; a segment's ``cuts`` say where. Shots of fewer than ``least`` frames join a neighbour
    (:func:`without_short_shots`); segments of more than ``most`` frames are cut into equal parts, whose borders are no cuts.
    Depends on nothing else. Raises ValueError where ``most`` is less than a chunk.

    >>> segments_at([Cut(40, 0.5)], 96, 16)
    (Segment(first=0, stop=3, cuts=(40,)), Segment(first=3, stop=6, cuts=()))
    """
    if most is not None and most < chunk_size:
        raise ValueError(f"a segment of at most {most} frames holds no chunk of {chunk_size}")
    chunks = -(-frame_count // chunk_size)
    shots = without_short_shots(cuts, frame_count, least)
    borders = sorted({border for cut in shots if 0 < (border := (2 * cut.frame + chunk_size) // (2 * chunk_size)) < chunks})
    edges = [0, *borders, chunks] if chunks else [0]
    inside = sorted(cut.frame for cut in cuts if 0 < cut.frame < frame_count)
    found = []
    for first, stop in pairwise(edges):
        parts = 1 if most is None else -(-(stop - first) // (most // chunk_size))
        for part in range(parts):
            a, b = first + (stop - first) * part // parts, first + (stop - first) * (part + 1) // parts
            found.append(Segment(a, b, tuple(f for f in inside if a * chunk_size < f < b * chunk_size)))
    return tuple(found)

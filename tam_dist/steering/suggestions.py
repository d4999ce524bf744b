"""The frames on which a person's time is spent best. The one rule of all who suggest any: the API, the commands, the pane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tam_dist.steering.asking import Asking, Where
from tam_dist.steering.trouble import Trouble, trouble_at
from tam_dist.types import Absent, FloatArray, LabelArray, Origin, Prompt, UInt8Array

#: Expected IoU from which on nobody needs to look.
GOOD_ENOUGH = 0.8
#: How many frames away a correction still helps a little.
_REACH = 16
#: Error that a frame may have beyond what its quality says, where nobody has looked: scores miss what XMem is wrongly sure of.
#: Of 0, 0.1 and 0.3 the best on training sequences; with 0 even spacing was as good a rule after eight corrections.
_UNSEEN = 0.1


@dataclass(frozen=True)
class Spot:
    """``column`` of the object in a project's scores; ``quality`` is the expected IoU, 0..1, 0 where it is gone; ``gain``
    (0..1) what a correction there is worth (:func:`expected_gain`).
    """

    frame: int
    column: int
    quality: float
    gain: float


@dataclass(frozen=True)
class Suggestion:
    """An object in a frame of a project; ``quality`` and ``gain`` as in :class:`Spot`; ``reason`` says in words what looks
    wrong.
    """

    project: str
    frame: int
    object: str
    quality: float
    gain: float
    trouble: Trouble
    reason: str


@dataclass(frozen=True, eq=False)
class Scored:
    """A project as it is judged here: ``quality`` float32 (T, K) in 0..1, NaN where not tracked; ``origin`` uint8 (T, K);
    ``prompts`` those in force; ``names`` of the objects in the log, by column; ``labels`` gives a frame's, (H, W).
    """

    quality: FloatArray
    origin: UInt8Array
    prompts: Sequence[Prompt]
    names: Sequence[str]
    labels: Callable[[int], LabelArray]

    def spots(self, *, most: int = 20, good_enough: float = GOOD_ENOUGH) -> list[Spot]:
        """As :func:`worst_spots`; none near a frame that somebody has prompted or locked, nor where they said
        that it is absent.
        """
        quality = self.quality.copy()
        marked: dict[int, list[int]] = {}
        for prompt in self.prompts:
            column = self.names.index(prompt.object_name)
            if column >= quality.shape[1]:
                continue  # an object that is not tracked yet
            if not isinstance(prompt.data, Absent) or prompt.purpose == "lock":
                marked.setdefault(column, []).append(prompt.frame)
            if isinstance(prompt.data, Absent):
                quality[prompt.data.first : prompt.data.last + 1, column] = np.nan
        return worst_spots(quality, marked, most=most, good_enough=good_enough)

    def trouble(self, spot: Spot, *, good_enough: float = GOOD_ENOUGH) -> Trouble:
        quality, origin = self.quality[:, spot.column], self.origin[:, spot.column]
        return trouble_at(spot.frame, spot.column + 1, quality, origin, self.labels, good_enough=good_enough)

    def reason(self, spot: Spot, trouble: Trouble) -> str:
        redrawn = self.origin[spot.frame, spot.column] in (Origin.REFINED, Origin.CORRECTED)
        return f"{trouble.words}, also after SAM redrew it" if redrawn else trouble.words


def review_queue(where: Where | Sequence[Where], *, most: int = 20, good_enough: float = GOOD_ENOUGH) -> list[Suggestion]:
    """What to look at in a project, or several, where it helps most first, at most ``most`` of each: objects in frames whose
    quality is below ``good_enough``, spread out over the video, and none near a frame that somebody has prompted or locked.

    Raises :class:`ProjectError`.
    """
    found: list[Suggestion] = []
    for each in [where] if isinstance(where, str) or not isinstance(where, Sequence) else where:
        asking = Asking(each)
        store = asking.store
        names = [o.name for o in asking.objects]
        scored = Scored(store.quality[:], store.origin[:], asking.prompts, names, store.labels.__getitem__)
        for spot in scored.spots(most=most, good_enough=good_enough):
            trouble = scored.trouble(spot, good_enough=good_enough)
            name, reason = asking.shown[spot.column].name, scored.reason(spot, trouble)
            found.append(Suggestion(str(asking.where), spot.frame, name, spot.quality, spot.gain, trouble, reason))
    return sorted(found, key=lambda each: -each.gain)


def worst_spots(
    quality: FloatArray,
    marked: Mapping[int, Sequence[int]] | None = None,
    *,
    most: int = 20,
    good_enough: float = GOOD_ENOUGH,
) -> list[Spot]:
    """Where a correction is expected to help most: ``quality`` float32 (T, K) in 0..1, NaN where there is nothing to say. Best
    first, no two of a column nearer than :func:`spacing`, none so near a frame ``marked`` in it.

    >>> quality = np.full((100, 1), 0.9, np.float32)
    >>> quality[40:44, 0], quality[80, 0] = 0.25, 0.5
    >>> [(spot.frame, spot.quality) for spot in worst_spots(quality)]
    [(41, 0.25), (80, 0.5)]
    >>> worst_spots(quality, {0: [42, 82]})
    []
    """
    frames, columns = quality.shape
    space = spacing(frames)
    found: list[Spot] = []
    for column in range(columns):
        marks = (marked or {}).get(column, ())
        gain = expected_gain(quality[:, column], marks)
        gain[~(quality[:, column] < good_enough)] = -1
        for frame in marks:
            gain[max(0, frame - space + 1) : frame + space] = -1
        for _ in range(most):
            frame = int(gain.argmax())
            if gain[frame] < 0:
                break
            found.append(Spot(frame, column, float(quality[frame, column]), float(gain[frame])))
            gain[max(0, frame - space + 1) : frame + space] = -1
    return sorted(found, key=lambda each: (-each.gain, each.frame, each.column))[:most]


def expected_gain(quality: FloatArray, marks: Sequence[int] = ()) -> FloatArray:
    """What a correction of each frame is worth: float64 (T,), the expected error (1 - IoU) around it and what may be wrong
    there unknown to the scores, weighted by nearness, as it helps its neighbours too. ``quality`` float32 (T,), NaN where
    nothing is wrong that is known. What is near a mark is in good hands already. (By the worst single frame instead,
    reviewers were led to frames that are hard for a moment, blurred or hidden, where clicks help least.)

    >>> quality = np.array([1, 1, 0, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 1, 1], np.float32)
    >>> int(expected_gain(quality).argmax())
    8
    """
    near = np.maximum(0.0, 1 - np.abs(np.arange(1 - _REACH, _REACH)) / _REACH)
    error = np.nan_to_num(1.0 + _UNSEEN - quality.astype(np.float64))
    for mark in marks:
        around = np.arange(max(0, mark - _REACH), min(len(error), mark + _REACH))
        error[around] *= np.abs(around - mark) / _REACH
    gain: FloatArray = np.convolve(error, near / near.sum())[_REACH - 1 :][: len(error)]
    return gain.round(9)  # processors add up in different orders, and which of two frames alike is named must not depend on it


def spacing(frames: int) -> int:
    """How far apart frames of one video are suggested: what is wrong in one is wrong in its neighbours too.

    >>> spacing(132), spacing(170_000)
    (8, 25)
    """
    return max(8, min(25, frames // 40))

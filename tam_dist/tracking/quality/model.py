"""From signals to a score: a few hundred numbers, fitted on training videos, that predict a mask's IoU.

The fitted model belongs to the XMem weights it was fitted with, since confidence and affinities differ from network to
network. For other weights there is :func:`weight_free`, which needs no fitting and only ranks.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from tam_dist.errors import WeightsError
from tam_dist.models.checkpoints import sha256
from tam_dist.tracking.quality.signals import SIGNALS
from tam_dist.types import FloatArray

logger = logging.getLogger(__name__)

#: Signals are clipped to so many standard deviations: the model never leaves the region it was fitted in by far.
LARGEST = 3.0
#: A mask whose peak is under this is empty.
_EMPTY_PEAK = 0.5


@dataclass(frozen=True, eq=False)
class Scores:
    """Per object, float32 (n,) in 0..1: ``iou`` that the mask is expected to have, ``absent``: the chance that the object is
    not in the picture at all.
    """

    iou: FloatArray
    absent: FloatArray


class QualityScorer(Protocol):
    """Signals float32 (n, len(SIGNALS)) to scores."""

    def __call__(self, signals: FloatArray) -> Scores: ...


@dataclass(frozen=True, eq=False)
class QualityModel:
    """A network of one hidden layer: ``mean`` and ``scale`` (S,) of the signals, ``hidden`` (h, S + 1), ``out`` (2, h + 1);
    the last column of each is the bias. Computed in float64, so that its rounding is far below what is stored.
    """

    xmem: str
    mean: np.ndarray
    scale: np.ndarray
    hidden: np.ndarray
    out: np.ndarray

    def __call__(self, signals: FloatArray) -> Scores:
        z = np.clip((np.asarray(signals, np.float64) - self.mean) / self.scale, -LARGEST, LARGEST)
        h = np.tanh(z @ self.hidden[:, :-1].T + self.hidden[:, -1])
        logits = h @ self.out[:, :-1].T + self.out[:, -1]
        chance = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return Scores(chance[:, 0], chance[:, 1])

    @classmethod
    def read(cls, file: Path) -> Self:
        """Raises :class:`WeightsError` where the file is damaged or of other signals."""
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            if tuple(data["signals"]) != SIGNALS:
                raise ValueError("it is of other signals than this version's")
            parts = {name: np.array(data[name], np.float64) for name in ("mean", "scale", "hidden", "out")}
            return cls(data["xmem"], **parts)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"The quality model {file} cannot be used ({error}): install tam-dist again.") from error

    def to_json(self) -> str:
        numbers = {name: np.round(getattr(self, name), 5).tolist() for name in ("mean", "scale", "hidden", "out")}
        return json.dumps({"xmem": self.xmem, "signals": SIGNALS, **numbers}) + "\n"


def scorer_for(weights: Path) -> QualityScorer:
    """The model fitted with an XMem weight file, which lies beside it as ``NAME.quality.json``; :func:`weight_free` without.

    A model of other weights (they were trained on, say) is passed over, with a warning.
    """
    file = weights.with_suffix(".quality.json")
    if not file.exists():
        return weight_free
    model = QualityModel.read(file)
    if model.xmem != sha256(weights):
        logger.warning("%s was fitted with other weights than %s and is not used.", file, weights.name)
        return weight_free
    return model


def weight_free(signals: FloatArray) -> Scores:
    """For weights without a fitted model: confidence, lowered where memory's evidence does not lie where the mask does.

    It ranks masks; it is not calibrated. It never says that an object with a mask is absent.
    """
    column = {name: np.asarray(signals[:, i], np.float32) for i, name in enumerate(SIGNALS)}
    empty = column["peak"] < _EMPTY_PEAK
    score = column["confidence"] * np.sqrt(np.clip(column["agreement"], 0, 1))
    iou = np.where(empty, column["confidence"], score).astype(np.float32)
    return Scores(np.clip(iou, 0, 1), empty.astype(np.float32))


def confidence_alone(signals: FloatArray) -> Scores:
    """The mean probability inside the mask: what projects of the first version store."""
    peak = signals[:, SIGNALS.index("peak")]
    return Scores(np.asarray(signals[:, 0], np.float32), (peak < _EMPTY_PEAK).astype(np.float32))

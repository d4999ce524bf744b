"""What memory says of one frame before anything is settled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from tam_dist.models.xmem.frames import Padding
from tam_dist.models.xmem.memory import Match
from tam_dist.models.xmem.network import aggregate


@dataclass(frozen=True, eq=False)
class MatchEvidence:
    """How well memory knows what it sees, per object and 16x16 cell of the padded frame, float32 (n, H/16, W/16).

    ``foreground``: the share of the cell's affinity that falls on the object in remembered frames, 0..1; a mask that memory
    contradicts here is doubtful. ``similarity``: that of the best match, at most about 0; far below its usual level the cell
    shows something never seen.
    """

    foreground: Tensor
    similarity: Tensor


@dataclass(frozen=True, eq=False)
class PendingState:
    """``probabilities`` padded (n+1, H, W), ``independent`` (n, H, W) before objects compete; ``hidden`` (1, n, Ch, H/16,
    W/16); ``matches``, one for each group.
    """

    probabilities: Tensor
    independent: Tensor
    hidden: Tensor
    matches: tuple[Match, ...]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Masks of one frame from memory alone.

    Rows of ``probabilities`` and ``logits``, float32 (n+1, h, w), are the background and ``object_ids`` in order;
    probabilities sum to 1. ``pending`` is what ``InferenceCore.update`` commits.
    """

    object_ids: tuple[int, ...]
    probabilities: Tensor
    logits: Tensor
    evidence: MatchEvidence
    pending: PendingState

    def without(self, absent: frozenset[int], padding: Padding) -> Prediction:
        """The same frame with some of the objects left out of it; the others may take their place."""
        rows = [row for row, i in enumerate(self.object_ids) if i in absent]
        if not rows:
            return self
        independent = self.pending.independent.clone()
        independent[rows] = 0
        logits, probabilities = aggregate(independent)
        pending = replace(self.pending, probabilities=probabilities, independent=independent)
        return replace(self, probabilities=padding.crop(probabilities), logits=padding.crop(logits), pending=pending)

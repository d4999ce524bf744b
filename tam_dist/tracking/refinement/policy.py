"""When SAM is asked about an object, and whether the object is there at all.

Pure bookkeeping over frames: a function of the scores so far and the settings, so that a replay decides the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tam_dist.config import RefinementConfig

#: Frames that may be refined before the share of frames bounds it: a short video has too few to count shares of.
_FREE = 3


@dataclass
class _Past:
    """``poor``: under the threshold and not above the release since. ``asked``: the last frame it was asked about."""

    poor: bool = False
    absent: bool = False
    asked: int | None = None


@dataclass
class RefinementPolicy:
    """The state of one session."""

    config: RefinementConfig
    frames: int = 0
    refined: int = 0
    objects: dict[int, _Past] = field(default_factory=dict)

    def presence(self, scores: Mapping[int, tuple[float, float]]) -> frozenset[int]:
        """The objects taken to be absent from the next frame, by their (expected IoU, chance of absence).

        To leave a mask standing is worth its expected IoU, to empty it the chance that nothing is there. That it is gone has to
        be clearer by ``presence_margin``, that it is back by ``return_margin``: a mask that was emptied wrongly should not stay
        so. (With as much for both, a small dog behind others was gone for 50 frames that it could be seen in.)
        """
        gone = set()
        leaving, back = self.config.presence_margin, self.config.return_margin
        back = leaving if back < 0 else back
        for object_id, (iou, absent) in scores.items():
            past = self._of(object_id)
            past.absent = absent > iou + (-back if past.absent else leaving)
            if past.absent:
                gone.add(object_id)
        return frozenset(gone)

    def due(self, frame: int, quality: Mapping[int, float], *, cut: bool) -> tuple[int, ...]:
        """The objects to ask about, of those with a mask and its quality; ``cut``: a new shot begins with the frame.

        Under ``threshold`` an object is poor until it is above ``release``. Poor ones are asked about at most every
        ``every`` frames, all of them after a cut, and none where more than ``max_share`` of the frames would be refined.
        """
        self.frames += 1
        wanted = []
        for object_id, score in sorted(quality.items()):
            past = self._of(object_id)
            past.poor = score < (self.config.release if past.poor else self.config.threshold)
            rested = past.asked is None or frame - past.asked >= self.config.every
            if (past.poor and rested) or cut:
                wanted.append(object_id)
        if not wanted or (not cut and self.refined + 1 > _FREE + self.config.max_share * self.frames):
            return ()
        self.refined += 1
        for object_id in wanted:
            self._of(object_id).asked = frame
        return tuple(wanted)

    def given(self, object_ids: Iterable[int]) -> None:
        """A person gave these objects' masks: they are there, and they are good."""
        for object_id in object_ids:
            past = self._of(object_id)
            past.absent = past.poor = False

    def _of(self, object_id: int) -> _Past:
        return self.objects.setdefault(object_id, _Past())

    # --- state -----------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """JSON from which :meth:`restore` goes on."""
        past = {str(i): asdict(p) for i, p in sorted(self.objects.items())}
        return {"frames": self.frames, "refined": self.refined, "objects": past}

    @classmethod
    def restore(cls, config: RefinementConfig, meta: Mapping[str, Any]) -> Self:
        objects = {int(i): _Past(**p) for i, p in meta["objects"].items()}
        return cls(config, meta["frames"], meta["refined"], objects)

"""SAM under the pointer: masks of clicks that nobody has sent yet, from embeddings that are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tam_dist.config import Config
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.types import BoolArray, Click, ObjectQuery, SegmentedMask, UInt8Array

#: Frames whose embeddings are kept: the visible one, its neighbours, and those of a second person.
_EMBEDDINGS = 24
#: What a tracker is about as sure of as it gets.
_LOGIT = 9.0


@dataclass(frozen=True, eq=False)
class Asked:
    """``clicks`` and ``box`` (x0, y0, x1, y1) in pixels of the source; ``mask`` bool (H, W), the one that they correct, as it
    is stored; ``hover``: the pointer is still moving, so that speed counts for more than the last pixel.
    """

    clicks: tuple[Click, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: BoolArray | None = None
    hover: bool = False


@dataclass
class Previews:
    """One SAM for all projects that have the same one. Any thread may ask; answers are given one after the other."""

    _segmenters: dict[str, tuple[SupportsSegment, SupportsSegment]] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def preview(self, config: Config, key: tuple[str, int], picture: Callable[[], UInt8Array], asked: Asked) -> SegmentedMask:
        """``key`` names the frame, whose ``picture`` is asked for only where its embedding is not kept. Raises
        :class:`WeightsError`, :class:`ResourceError`.
        """
        from tam_dist.models.sam.rounds import segment_in_rounds

        query = ObjectQuery(
            1,
            np.array([(click.x, click.y) for click in asked.clicks], np.float32).reshape(-1, 2),
            np.array([click.positive for click in asked.clicks], np.int64),
            None if asked.box is None else np.array(asked.box, np.float32),
            None if asked.mask is None else np.where(asked.mask, _LOGIT, -_LOGIT).astype(np.float32),
        )
        with self._turn:
            quick, thorough = self._open(config)
            return segment_in_rounds(quick if asked.hover else thorough, picture(), query, key)

    def prepare(self, config: Config, key: tuple[str, int], picture: Callable[[], UInt8Array]) -> None:
        """Embed a frame that will probably be asked about."""
        image = picture()
        height, width = image.shape[:2]
        self.preview(config, key, lambda: image, Asked((Click(width / 2, height / 2),), hover=True))

    def _open(self, config: Config) -> tuple[SupportsSegment, SupportsSegment]:
        from dataclasses import replace

        from tam_dist.models.sam.opening import open_segmenter
        from tam_dist.models.sam.segmenter import Segmenter
        from tam_dist.models.sam.zoom import ZoomingSegmenter

        name = f"{config.models.sam}@{config.runtime.device}"
        if name not in self._segmenters:
            kept = replace(config, segmentation=replace(config.segmentation, embedding_cache=_EMBEDDINGS))
            thorough = open_segmenter(kept)
            inner = thorough._segmenter if isinstance(thorough, ZoomingSegmenter) else thorough
            assert isinstance(inner, Segmenter) or inner is thorough
            self._segmenters[name] = (inner, thorough)
        return self._segmenters[name]

"""SAM under the pointer: masks of clicks that nobody has sent yet, from embeddings that are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tam_dist.config import Config
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.types import ObjectQuery, SegmentedMask, UInt8Array

#: Frames whose embeddings are kept: the visible one, its neighbours, and those of a second person.
_EMBEDDINGS = 24


#: A project's id, and a frame.
Key = tuple[str, int]


@dataclass
class Previews:
    """One SAM for all projects that have the same one. Any thread may ask; answers are given one after the other."""

    _segmenters: dict[str, tuple[SupportsSegment, SupportsSegment]] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def preview(
        self,
        config: Config,
        key: tuple[str, int],
        picture: Callable[[], UInt8Array],
        query: ObjectQuery,
        *,
        quick: bool = False,
    ) -> SegmentedMask:
        """``key`` names the frame, which ``picture`` gives, and for which embeddings are kept. ``quick`` leaves out the second
        look at small objects: the pointer is still moving. Raises :class:`WeightsError`, :class:`ResourceError`.
        """
        from tam_dist.models.sam.rounds import segment_in_rounds

        with self._turn:
            plain, thorough = self._open(config)
            return segment_in_rounds(plain if quick else thorough, picture(), query, key)

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

"""From settings to a segmenter."""

from __future__ import annotations

from tam_dist.config import Config
from tam_dist.models.checkpoints import resolve
from tam_dist.models.runtime import configure_torch, precision_of
from tam_dist.models.sam.lite_encoder import LiteImageEncoder
from tam_dist.models.sam.segmenter import Segmenter, SupportsSegment
from tam_dist.models.sam.weights import load_sam
from tam_dist.models.sam.zoom import ZoomingSegmenter


def open_segmenter(config: Config, *, closer: bool = True) -> SupportsSegment:
    """The configured SAM on the configured device. The small one takes a ``closer`` look at small objects.

    Raises :class:`WeightsError`, :class:`ResourceError`.
    """
    device = configure_torch(config.runtime)
    precision = precision_of(config.runtime)
    sam = precision.lay_out(load_sam(resolve(config.models.sam, "sam"), device))
    segmenter = Segmenter(sam, config.segmentation, device, precision)
    return ZoomingSegmenter(segmenter) if closer and isinstance(sam.image_encoder, LiteImageEncoder) else segmenter

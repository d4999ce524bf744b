"""Holds SAM and answers sessions' requests. It keeps nothing about a video but a cache of image embeddings."""

from __future__ import annotations

from tam_dist.config import Config
from tam_dist.coordination.calls import Call, Payload, Receipt, Segment
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.rounds import segment_in_rounds
from tam_dist.types import FrameChunk, SegmentationRequest, StepResult
from tam_dist.workers.base import Stopwatch, unexpected


class RefinerWorker:
    """Stateless for the scheduler: any refiner may answer any request, again and again, with the same masks."""

    def __init__(self, config: Config) -> None:
        self._segmenter = open_segmenter(config)

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call, *payloads:
            case Segment(), FrameChunk() as chunk, StepResult(request=SegmentationRequest() as request):
                image = chunk.frames[request.frame - chunk.start]
                key = (call.video, request.frame)
                masks = tuple(segment_in_rounds(self._segmenter, image, query, key) for query in request.queries)
                return Receipt(watch.seconds), masks
        raise unexpected(self, call)

    def close(self) -> None: ...

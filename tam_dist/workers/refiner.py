"""Holds SAM and answers sessions' requests. It keeps nothing about a video but a cache of image embeddings."""

from __future__ import annotations

from tam_dist.config import Config
from tam_dist.coordination.calls import Call, Payload, Receipt, Refer, Segment
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.rounds import segment_in_rounds
from tam_dist.tracking.asked import Asked
from tam_dist.tracking.references import Ask, references_in
from tam_dist.types import FrameChunk, SegmentationRequest, SegmentedMask, StepResult
from tam_dist.workers.base import Stopwatch, unexpected


class RefinerWorker:
    """Stateless for the scheduler: any refiner may answer any request, again and again, with the same masks."""

    def __init__(self, config: Config) -> None:
        self._segmenter = open_segmenter(config)

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:
        watch = Stopwatch()
        match call, *payloads:
            case Segment(), FrameChunk() as chunk, StepResult(requests=requests) if requests:
                answers = tuple(self._answer(call.video, chunk, request) for request in requests)
                return Receipt(watch.seconds), answers
            case Refer(frames=frames), FrameChunk() as chunk, Asked() as asked:
                key = call.video
                ask: Ask = lambda image, number, query: segment_in_rounds(self._segmenter, image, query, (key, number))  # noqa: E731
                return Receipt(watch.seconds), references_in(asked, chunk, frames.prompts, ask)
        raise unexpected(self, call)

    def _answer(self, video: str, chunk: FrameChunk, request: SegmentationRequest) -> tuple[SegmentedMask, ...]:
        image, key = chunk.frames[request.frame - chunk.start], (video, request.frame)
        return tuple(segment_in_rounds(self._segmenter, image, query, key) for query in request.queries)

    def close(self) -> None: ...

"""A session and a segmentation model in one process, without workers between: for explanations, training, benchmarks."""

from __future__ import annotations

from tam_dist.models.sam.rounds import segment_in_rounds
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.tracking.session import TrackingSession
from tam_dist.types import ChunkResult, FrameChunk


def track_chunk(session: TrackingSession, chunk: FrameChunk, segmenter: SupportsSegment | None) -> ChunkResult:
    """Track the session's next chunk to its end, questions answered as a refiner does. ``segmenter`` may be None where the
    session has none to ask.
    """
    result = session.step(chunk)
    # Frames of this chunk alone: by its number a frame was given the embedding kept of another video's.
    mark = object()
    while result.requests:
        assert segmenter is not None
        images = [chunk.frames[request.frame - chunk.start] for request in result.requests]
        result = session.resume(
            [
                tuple(segment_in_rounds(segmenter, image, query, (mark, request.frame)) for query in request.queries)
                for image, request in zip(images, result.requests, strict=True)
            ]
        )
    assert result.chunk is not None
    return result.chunk

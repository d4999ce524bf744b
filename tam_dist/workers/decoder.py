"""Decodes chunks of videos."""

from __future__ import annotations

from tam_dist.coordination.calls import Call, CloseVideo, Decode, Payload, Receipt
from tam_dist.media.chunks import read_chunk
from tam_dist.media.reader import VideoReader, open_video
from tam_dist.workers.base import Stopwatch, unexpected


class DecoderWorker:
    """Keeps a reader open for each project, so that consecutive chunks continue where the last one ended instead of seeking;
    two projects of one file would send a common reader back and forth.
    """

    def __init__(self) -> None:
        self._readers: dict[str, VideoReader] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:  # noqa: ARG002
        watch = Stopwatch()
        match call:
            case Decode():
                reader = self._readers.get(call.video)
                if reader is None:
                    reader = self._readers[call.video] = open_video(call.uri, reader=call.reader)
                chunk = read_chunk(reader, call.chunk, call.chunk_size)
                return Receipt(watch.seconds), chunk
            case CloseVideo():
                self._close_reader(call.video)
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None:
        for video in list(self._readers):
            self._close_reader(video)

    def _close_reader(self, video: str) -> None:
        reader = self._readers.pop(video, None)
        if reader is not None:
            reader.close()

"""Decodes chunks of videos."""

from __future__ import annotations

from tam_dist.coordination.calls import Call, CloseVideo, Decode, Payload, Receipt
from tam_dist.media.chunks import read_chunk
from tam_dist.media.reader import VideoReader, open_video
from tam_dist.workers.base import Stopwatch, unexpected


class DecoderWorker:
    """Keeps the readers of its videos open, so that consecutive chunks continue where the last one ended instead of seeking."""

    def __init__(self) -> None:
        self._readers: dict[str, VideoReader] = {}

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:  # noqa: ARG002
        watch = Stopwatch()
        match call:
            case Decode():
                reader = self._readers.get(call.uri)
                if reader is None:
                    reader = self._readers[call.uri] = open_video(call.uri, reader=call.reader)
                chunk = read_chunk(reader, call.chunk, call.chunk_size)
                return Receipt(watch.seconds), chunk
            case CloseVideo():
                self._close_reader(call.uri)
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None:
        for uri in list(self._readers):
            self._close_reader(uri)

    def _close_reader(self, uri: str) -> None:
        reader = self._readers.pop(uri, None)
        if reader is not None:
            reader.close()

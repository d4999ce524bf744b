"""Decodes chunks of videos."""

from __future__ import annotations

from tam_dist.coordination.calls import Call, CloseVideo, Decode, Payload, Receipt
from tam_dist.media.chunks import ChunkReader
from tam_dist.media.reader import open_video
from tam_dist.workers.base import Stopwatch, unexpected


class DecoderWorker:
    """Keeps a reader open for each project and lane, so that consecutive chunks continue where the last one ended instead of
    seeking; two projects of one file, or two passes, would send a common reader back and forth.
    """

    def __init__(self) -> None:
        self._readers: dict[tuple[str, str, int], ChunkReader] = {}  # by project, source, lane

    def run(self, call: Call, *payloads: Payload) -> tuple[Receipt, Payload]:  # noqa: ARG002
        watch = Stopwatch()
        match call:
            case Decode():
                key = (call.video, call.uri, call.lane)
                if key not in self._readers:
                    video = open_video(call.uri, reader=call.reader, on_damage=call.on_damage)
                    self._readers[key] = ChunkReader(video, call.chunk_size)
                chunk = self._readers[key].read(call.chunk, find_cuts=call.find_cuts)
                return Receipt(watch.seconds), chunk
            case CloseVideo():
                for key in [key for key in self._readers if key[0] == call.video]:
                    self._readers.pop(key).close()
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

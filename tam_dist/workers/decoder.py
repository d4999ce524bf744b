"""Decodes chunks of videos."""

from __future__ import annotations

from tam_dist.coordination.calls import Call, CloseVideo, Decode, Payload, Receipt, Scan, ScanReceipt
from tam_dist.media.chunks import ChunkReader
from tam_dist.media.reader import VideoReader, open_video
from tam_dist.media.shots import scan_video
from tam_dist.workers.base import Stopwatch, unexpected


class DecoderWorker:
    """Keeps a reader open for each project and lane, so that consecutive chunks continue where the last one ended instead of
    seeking; two projects of one file, or two passes, would send a common reader back and forth.
    """

    def __init__(self) -> None:
        self._readers: dict[tuple[str, str, int], ChunkReader] = {}  # by project, source, lane
        self._scanners: dict[tuple[str, str], VideoReader] = {}

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
            case Scan():
                which = (call.video, call.uri)
                if which not in self._scanners:
                    self._scanners[which] = open_video(call.uri, reader=call.reader, on_damage=call.on_damage)
                found = scan_video(self._scanners[which], call.start, call.stop)
                return ScanReceipt(watch.seconds, found), None
            case CloseVideo():
                for key in [key for key in self._readers if key[0] == call.video]:
                    self._readers.pop(key).close()
                for which in [which for which in self._scanners if which[0] == call.video]:
                    self._scanners.pop(which).close()
                return Receipt(watch.seconds), None
        raise unexpected(self, call)

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        for scanner in self._scanners.values():
            scanner.close()
        self._readers.clear()
        self._scanners.clear()

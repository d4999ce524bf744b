"""Building the :class:`VideoIndex`: one pass over the packets, checked against what the decoder really gives.

The packets' times are the frames' times in nearly all files, and reading packets is some hundred times faster than decoding.
The exceptions (AVI with B-frames, VP8's hidden frames, field pairs, files that start or end in the middle of a group of
pictures) are found by decoding the file's first frames and, where its end looks damaged, its last ones; if those disagree
with the packets, the whole file is decoded once.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
from av.video.frame import VideoFrame

from tam_dist.errors import VideoError
from tam_dist.media.container import VideoContainer, orientation_of
from tam_dist.media.index import DEFAULT_RATE, Int64Array, VideoIndex
from tam_dist.media.source import Source

log = logging.getLogger(__name__)

_HEAD_FRAMES = 24  # decoded at the start of every file: longer than any reordering delay
_BETWEEN_PACKETS = 256  # bytes; what Matroska puts between two packets (headers of blocks and clusters) has some thirty
_LONGEST_GAP = 1000  # frames that may be missing in one place; a longer one is a jump in the stream's times
_WHOLE_END = 8  # frames in a row that come out whole at the end of a file: it was not cut off there
_TAIL_PACKETS = 32  # damage in the last packets means the file was cut off
_HIDDEN_FRAME_CODECS = frozenset({"vp8", "libvpx"})  # packets that are decoded but never shown


@dataclass
class _Packets:
    """What the packets of the video stream say."""

    pts: list[int] = field(default_factory=list)  # those to be shown
    keyframes: list[int] = field(default_factory=list)
    count: int = 0  # with those an edit list discards
    without_time: int = 0
    discarded: int = 0
    open_starts: int = 0  # keyframes that frames after them look back beyond
    last_damaged: int = -1
    damaged: int = 0  # places where the file is damaged
    last_dts: int | None = None
    end: float = 0.0  # seconds, over all streams


def build_index(source: Source) -> VideoIndex:
    """Index the video at ``source``.

    Raises :class:`VideoError` where it is no video, has no picture, or not one frame can be decoded. A file that was cut off
    is no error: the index then holds what can be decoded, and ``declared_frames`` the container's claim.
    """
    with VideoContainer(source) as video:
        packets = _read_packets(video)
        declared = _declared_frames(video, packets)
    with VideoContainer(source) as video:
        head = list(islice(video.frames(), _HEAD_FRAMES))
        if not head:
            raise VideoError(f"No frame of {source.uri} can be decoded: it is damaged or was cut off before the first frame.")
        rate = _rate(video)
        container, codec = video.container.format.name, video.stream.codec_context.name
        pixel_format = video.stream.codec_context.pix_fmt or ""
        time_base = video.stream.time_base or Fraction(1, 1000)
        has_audio = bool(video.container.streams.audio)
        start = max(Fraction(0), Fraction(video.container.start_time or 0, 1_000_000))
        aspect = video.stream.sample_aspect_ratio or Fraction(1)

    seekable = True
    keyframes = np.unique(np.asarray(packets.keyframes, np.int64))
    pts = _trusted(packets, head, codec)
    present = 0 if pts is None else len(pts)
    if pts is not None and packets.damaged:
        pts = _with_gaps_filled(pts)
    missing = 0 if pts is None else len(pts) - present
    if pts is None:
        log.info("%s: the packets' times cannot be trusted; decoding the whole file once to index it", source.uri)
        pts, seekable = _index_by_decoding(source, rate, time_base)
        seekable = seekable and container != "avi"
    elif declared is not None or packets.last_damaged >= packets.count - _TAIL_PACKETS or not _tells_length(container):
        pts = _cut_to_decodable(source, pts, keyframes)
        pts = _without_gap_at_end(pts, packets.last_dts)
    cut_stream = _is_transport_stream(container) and _ends_in_a_packet(source, packets, len(pts) - missing)
    if not len(pts):
        raise VideoError(f"No frame of {source.uri} can be decoded: it was cut off before the end of the first frame.")
    if declared is not None and declared <= len(pts):
        declared = None
    if declared is None and packets.last_damaged >= 0 and len(pts) + packets.discarded < packets.count:
        declared = packets.count - packets.discarded

    orientation = orientation_of(head[0])
    width, height = orientation.size(head[0].width, head[0].height)
    return VideoIndex(
        pts=pts,
        keyframes=keyframes,
        time_base=time_base,
        fps=_frame_rate(pts, time_base, rate),
        width=width,
        height=height,
        codec=codec,
        container=container,
        fingerprint=source.fingerprint(),
        pixel_format=pixel_format,
        orientation=orientation,
        sample_aspect=1 / aspect if orientation.transpose else aspect,
        start=start,
        seekable=seekable,
        edit_list=packets.discarded > 0,
        clean_keyframes=packets.open_starts == 0,
        interlaced=any(frame.interlaced_frame for frame in head),
        has_audio=has_audio,
        declared_frames=declared,
        note=_note(source, missing, cut_stream),
    )


def _note(source: Source, missing: int, cut_stream: bool) -> str:
    said = []
    if missing:
        said.append(f"{source.uri} is damaged: {missing} of its frames are missing; the others keep their numbers.")
    if cut_stream:
        said.append(f"{source.uri} ends in the middle of a frame: it was probably cut off, and what is there was used.")
    return " ".join(said)


def _read_packets(video: VideoContainer) -> _Packets:
    found = _Packets()
    matroska, read_up_to = "matroska" in video.container.format.name, 0
    for packet in video.packets():
        if matroska and packet.pos is not None and packet.pos >= 0:
            if 0 < read_up_to < packet.pos - _BETWEEN_PACKETS:
                found.damaged += 1  # the demuxer lost its way and went on to the next cluster
            read_up_to = max(read_up_to, packet.pos + packet.size)
        if packet.pts is not None and packet.time_base is not None:
            found.end = max(found.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != video.stream.index:
            continue
        found.last_dts = packet.dts
        if packet.is_corrupt:
            found.last_damaged = found.count
            found.damaged += 1
        found.count += 1
        if packet.pts is None:
            found.without_time += 1
            continue
        if packet.is_keyframe:
            found.keyframes.append(packet.pts)
            if video.stream.codec_context.name == "h264" and not has_idr(bytes(packet)):
                found.open_starts += 1
        if packet.is_discard:
            found.discarded += 1
        else:
            found.pts.append(packet.pts)
    return found


def has_idr(packet: bytes) -> bool:
    """Whether an H.264 packet holds an IDR picture, behind which no later frame looks back (ITU-T H.264, table 7-1: type 5).

    ``packet`` is in either form: each unit after a start code, or after its length in four bytes.

    >>> has_idr(bytes([0, 0, 0, 1, 0x67, 0xFF, 0, 0, 1, 0x65, 0x88])), has_idr(bytes([0, 0, 0, 2, 0x41, 0x9A]))
    (True, False)
    """
    if packet[:3] == b"\0\0\1" or packet[:4] == b"\0\0\0\1":
        return any(unit and unit[0] & 31 == 5 for unit in packet.split(b"\0\0\1")[1:])
    at = 0
    while at + 4 < len(packet):
        if packet[at + 4] & 31 == 5:
            return True
        at += 4 + int.from_bytes(packet[at : at + 4], "big")
    return False


def _declared_frames(video: VideoContainer, packets: _Packets) -> int | None:
    """How many frames the container claims, where that is more than its packets, else None.

    MP4 and AVI count frames; Matroska tells the duration only, which counts as more where all its streams end well before it.
    """
    counted = int(video.stream.frames or 0)
    if counted > packets.count:
        return counted - packets.discarded
    if "matroska" not in video.container.format.name or counted or video.container.duration is None:
        return None
    rate = _rate(video)
    duration = video.container.duration / 1_000_000
    if rate is None or duration <= packets.end + max(0.5, 3 / float(rate)):
        return None
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", video.stream.metadata.get("DURATION", ""))
    if tag is not None:  # the picture's own, where the sound is longer
        duration = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return round(duration * float(rate))


def _tells_length(container: str) -> bool:
    """Whether a file of this kind says how long it is, so that one that was cut off can be told from a whole one."""
    return "mp4" in container or "matroska" in container


def _is_transport_stream(container: str) -> bool:
    return container == "mpegts"


def _ends_in_a_packet(source: Source, packets: _Packets, used: int) -> bool:
    """Whether a transport stream, which does not say how long it is, stops where no recorder would have stopped."""
    whole_packets = any(source.size() % size == 0 for size in (188, 192, 204))
    return not whole_packets or (packets.last_damaged == packets.count - 1 and used < packets.count)


def _trusted(packets: _Packets, head: list[VideoFrame], codec: str) -> Int64Array | None:
    """The packets' times in order of presentation if the first decoded frames bear them out, else None.

    Frames before the first one that decodes (a recording that starts between keyframes) are left out.
    """
    pts = np.sort(np.asarray(packets.pts, np.int64))
    if packets.without_time or codec in _HIDDEN_FRAME_CODECS or not len(pts) or np.any(np.diff(pts) <= 0):
        return None
    shown = [frame.pts for frame in head]
    if shown[0] is None:
        return None
    first = int(np.searchsorted(pts, shown[0]))
    if list(pts[first : first + len(shown)]) == shown:
        return pts[first:]
    # Damage among them: a few times lack a frame. Of field pairs every second one does.
    last = int(np.searchsorted(pts, shown[-1] or 0))
    known = [time for time in shown if time is not None]
    borne_out = known == shown and known == sorted(known) and set(known) <= set(pts[first : last + 1].tolist())
    return pts[first:] if borne_out and len(known) > 0.75 * (last + 1 - first) else None


def _usual_step(pts: Int64Array) -> float | None:
    """Ticks between two frames of a video of constant rate, None of another."""
    if len(pts) < 3:
        return None
    steps = np.diff(pts)
    usual = float(np.median(steps))
    return usual if np.mean(np.abs(steps - usual) <= 0.25 * usual) >= 0.9 else None


def _with_gaps_filled(pts: Int64Array) -> Int64Array:
    """Of a damaged file: with the times at which frames must have been, so that the later ones keep their numbers.

    Only at a constant rate can that be told. Reading then finds no frame at these times.
    """
    usual = _usual_step(pts)
    if usual is None:
        return pts
    parts = [pts[:1]]
    for before, after in pairwise(pts.tolist()):
        count = round((after - before) / usual)
        if 2 <= count <= _LONGEST_GAP:
            parts.append(before + np.round(np.arange(1, count) * (after - before) / count).astype(np.int64))
        parts.append(np.asarray([after], np.int64))
    return np.concatenate(parts)


def _without_gap_at_end(pts: Int64Array, last_dts: int | None) -> Int64Array:
    """Of a file that was cut off: without the last frames behind a gap.

    The packets of the frames shown between them would have come later in the file. Up to the last packet's decoding time
    nothing can be missing.
    """
    usual = _usual_step(pts)
    if usual is None or last_dts is None:
        return pts
    first = max(1, int(np.searchsorted(pts, last_dts, side="right")))
    gaps = np.flatnonzero(np.diff(pts[first - 1 :]) > 1.5 * usual)
    return pts[: first + int(gaps[0])] if len(gaps) else pts


def _index_by_decoding(source: Source, rate: Fraction | None, time_base: Fraction) -> tuple[Int64Array, bool]:
    """The times of all frames as the decoder gives them; evenly spaced and False where it gives none that make sense."""
    with VideoContainer(source) as video:
        shown = [(number, frame.pts, frame.is_corrupt) for number, frame in video.counted_frames()]
    tail = range(max(0, len(shown) - _TAIL_PACKETS), len(shown))
    whole = next((i for i in tail if shown[i][2]), len(shown))  # damage near the end: it was cut off there
    shown = shown[:whole]
    known = np.asarray([time for _, time, _ in shown if time is not None], np.int64)
    if len(known) == len(shown) and np.all(np.diff(known) > 0):
        return known, True
    count = shown[-1][0] + 1 if shown else 0  # with those that cannot be decoded
    step = max(1, round(1 / ((rate or DEFAULT_RATE) * time_base)))
    return np.arange(count, dtype=np.int64) * step, False


def _cut_to_decodable(source: Source, pts: Int64Array, keyframes: Int64Array) -> Int64Array:
    """``pts`` without the damaged end: decodes the last groups of pictures and keeps what comes out whole.

    A few frames behind a gap belong to the damaged end (those between them in presentation order were lost). Many do not:
    then the gap is damage in the middle of the file, and these frames keep their numbers.
    """
    if not len(pts):
        return pts
    whole: set[int | None] = set()
    first = 0
    for entry in [*(int(k) for k in keyframes[-2:-5:-1]), None]:
        with VideoContainer(source) as video:
            if entry is not None and not video.seek(entry):
                continue
            whole = {frame.pts for frame in video.frames() if not frame.is_corrupt}
        # Transport streams have no index of keyframes, so a seek may land behind the one it was meant for.
        first = 0 if entry is None else int(np.searchsorted(pts, min((t for t in whole if t is not None), default=entry)))
        if entry is None or first <= np.searchsorted(pts, keyframes[-2]):
            break
    end = len(pts)
    while end > first:
        run = end
        while run > first and int(pts[run - 1]) in whole:
            run -= 1
        if end - run >= _WHOLE_END or run == first:
            break
        end = run - 1 if run == end else run
    return pts[:end]


def _rate(video: VideoContainer) -> Fraction | None:
    return video.stream.average_rate or video.stream.guessed_rate or None


def _frame_rate(pts: Int64Array, time_base: Fraction, nominal: Fraction | None) -> Fraction:
    """Frames per second: the container's word unless the times contradict it (variable frame rate), else their mean."""
    if len(pts) < 2:
        return nominal or DEFAULT_RATE
    mean = Fraction(len(pts) - 1, int(pts[-1] - pts[0])) / time_base
    if nominal is not None and abs(nominal / mean - 1) < 0.01:
        return nominal
    return mean.limit_denominator(1001)

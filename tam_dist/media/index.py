"""When each frame of a video is shown, and where decoding can start: what makes random access exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tam_dist.media.orientation import Orientation
from tam_dist.types import VideoInfo

Int64Array = NDArray[np.int64]
DEFAULT_RATE = Fraction(24)  # frames a second where nothing tells, as in folders of images: DAVIS's


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """All that has to be known of a video to read any of its frames; built once, then sent to every process that reads it.

    ``pts`` int64 (T,) are the presentation times of the frames that can be decoded, strictly increasing, in units of
    ``time_base`` seconds; frame i is the one shown at ``pts[i]``. ``keyframes`` int64 (K,), sorted, are the presentation
    times of all packets at which decoding can start, those outside an edit list included. ``seekable`` is False where the
    container's times cannot be trusted (AVI with B-frames): then frames are counted from the start of the file.
    ``clean_keyframes`` is False where frames after a keyframe refer to frames before it (open groups of pictures, intra
    refresh).

    ``width`` and ``height`` are those of the frames handed out, after ``orientation``. ``fingerprint`` is the file's when it
    was indexed. ``sample_aspect`` is a pixel's width over its height. ``start`` is the second from which the file counts (1.4
    in many transport streams). ``declared_frames`` is the container's claim where that is more than T. ``note`` is a sentence
    on what else is odd.
    """

    pts: Int64Array
    keyframes: Int64Array
    time_base: Fraction
    fps: Fraction
    width: int
    height: int
    codec: str
    container: str
    fingerprint: str
    pixel_format: str = ""
    orientation: Orientation = field(default_factory=Orientation)
    sample_aspect: Fraction = Fraction(1)
    start: Fraction = Fraction(0)
    seekable: bool = True
    edit_list: bool = False
    clean_keyframes: bool = True
    interlaced: bool = False
    has_audio: bool = False
    declared_frames: int | None = None
    note: str = ""

    @property
    def frame_count(self) -> int:
        return len(self.pts)

    @property
    def longest_gop(self) -> int:
        """The most frames that lie between one keyframe and the next: what a random access may have to decode."""
        starts = np.searchsorted(self.pts, self.keyframes)
        edges = np.concatenate([[0], starts, [self.frame_count]])
        return int(np.diff(edges).max())

    def seconds(self, frame: int) -> float:
        """When ``frame`` is shown, in seconds from the first frame."""
        return float((int(self.pts[frame]) - int(self.pts[0])) * self.time_base)

    def info(self, uri: str, reader: str) -> VideoInfo:
        return VideoInfo(
            uri=uri,
            frame_count=self.frame_count,
            width=self.width,
            height=self.height,
            fps=self.fps,
            time_base=self.time_base,
            rotation=self.orientation.degrees,
            fingerprint=self.fingerprint,
            reader=reader,
            declared_frames=self.declared_frames,
            has_audio=self.has_audio,
            note=self.note,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, fit for ``np.savez``: ``pts``, ``keyframes`` and ``header`` (UTF-8 JSON as uint8)."""
        header = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("pts", "keyframes")}
        header["orientation"] = asdict(self.orientation)
        text = json.dumps(header, default=str)
        return {"pts": self.pts, "keyframes": self.keyframes, "header": np.frombuffer(text.encode(), dtype=np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> VideoIndex:
        """The inverse of :meth:`to_arrays`."""
        header: dict[str, Any] = json.loads(arrays["header"].tobytes())
        header["orientation"] = Orientation(**header["orientation"])
        for key in ("time_base", "fps", "sample_aspect", "start"):
            header[key] = Fraction(header[key])
        return cls(pts=np.asarray(arrays["pts"], np.int64), keyframes=np.asarray(arrays["keyframes"], np.int64), **header)

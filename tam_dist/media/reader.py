"""Opening a video of any kind for exact reading by frame number.

>>> with open_video("film.mp4") as video:  # doctest: +SKIP
...     frames = video.read(100, 116)
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tam_dist.errors import VideoError
from tam_dist.media.damage import FrameFiller, checked_policy
from tam_dist.media.decord_reader import DecordReader, is_cheap, why_not_exact
from tam_dist.media.image_folder import ImageFolderReader, build_folder_index
from tam_dist.media.index import Int64Array, VideoIndex
from tam_dist.media.indexing import build_index
from tam_dist.media.pyav_reader import PyAVReader
from tam_dist.media.source import Source, resolve, same_content
from tam_dist.types import UInt8Array, VideoInfo


class VideoReader(Protocol):
    """A video open for reading. Not safe to share between threads."""

    @property
    def info(self) -> VideoInfo: ...

    @property
    def index(self) -> VideoIndex: ...

    @property
    def pts(self) -> Int64Array:
        """int64 (T,): when each frame is shown, in ``info.time_base`` seconds."""

    @property
    def filler(self) -> FrameFiller | None:
        """Knows which frames turned out to be damaged, and what stands in for them; None where none has been met."""

    def read(self, start: int, stop: int) -> UInt8Array:
        """Frames ``start`` to ``stop`` (exclusive), uint8 (n, H, W, 3) RGB; :class:`VideoError` names a damaged frame."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def open_video(
    uri: str | Path, *, reader: str = "auto", index: VideoIndex | None = None, on_damage: str = "hold"
) -> VideoReader:
    """Open a video file, a folder of images, or an fsspec URL of either.

    ``reader`` is ``auto`` (decord where it is exact and keyframes are close, PyAV elsewhere), ``pyav`` or ``decord``; folders
    need none. ``index`` saves the pass over the file where another process has built it already. ``on_damage``
    says what becomes of a frame that cannot be decoded (:data:`~tam_dist.media.damage.OnDamage`). Raises :class:`VideoError`.
    """
    if reader not in ("auto", "pyav", "decord"):
        raise VideoError(f"There is no video reader {reader!r}; media.reader is auto, pyav or decord.")
    policy = checked_policy(on_damage)
    source = resolve(uri)
    if index is not None and not source.is_folder:
        _check_unchanged(source, index)
    if source.is_folder:
        return ImageFolderReader(source, index or build_folder_index(source), policy)
    index = index or build_index(source)
    if reader == "decord":
        return DecordReader(source, index, policy)
    if reader == "auto" and why_not_exact(source, index) is None and is_cheap(index):
        try:
            return DecordReader(source, index, policy)
        except VideoError:
            pass  # decord counts or times the frames differently, or cannot open it
    return PyAVReader(source, index, policy)


def probe(uri: str | Path) -> VideoInfo:
    """What is known of a video without decoding all of it. Raises :class:`VideoError`."""
    with open_video(uri) as video:
        return video.info


def _check_unchanged(source: Source, index: VideoIndex) -> None:
    """Machines that hold copies of one file agree on its content; where only sizes can be compared, on that."""
    if not same_content(source.fingerprint(), index.fingerprint):
        raise VideoError(f"{source.uri} has changed since it was indexed; put the original back, or start a new project.")

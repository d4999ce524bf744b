"""What an exporter reads: the chosen frames of a project in order, with their label maps and, where wanted, their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tam_dist.errors import ExportError
from tam_dist.export.request import ExportRequest
from tam_dist.prompts import known_object
from tam_dist.types import FloatArray, LabelArray, TrackedObject, UInt8Array, VideoInfo

if TYPE_CHECKING:
    from tam_dist.media.index import VideoIndex
    from tam_dist.media.reader import VideoReader
    from tam_dist.project import Project

#: Frames whose pictures are decoded at once; 16 of 1080p are 100 MB.
_PICTURES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class MaskFrame:
    """``number`` is the source's frame number; ``labels`` uint8 or uint16 (H, W), 0 where no chosen object is;
    ``quality`` float32 (K,) in 0..1 of all the project's objects by id - 1, NaN where not tracked.
    """

    number: int
    labels: LabelArray
    quality: FloatArray


class Footage:
    """The chosen frames and objects of one project; iterating reads them, a chunk at a time.

    ``numbers`` are the source's frame numbers that are exported, ascending; ``untracked`` those that were asked for and are
    not tracked yet. ``objects`` are the chosen ones, with the project's own ids.
    """

    def __init__(self, project: Project, request: ExportRequest) -> None:
        """Raises :class:`ExportError`, and :class:`PromptError` for an object that the project lacks."""
        self._project = project
        self.request = request
        self.video: VideoInfo = project.video
        self.name = video_name(self.video.uri)
        known = project.objects
        chosen = {known_object(name, known).id for name in request.objects}
        self.objects: tuple[TrackedObject, ...] = tuple(o for o in known if not chosen or o.id in chosen)
        #: Of a frame's number in a file name, so that names sort as numbers do.
        self._digits = max(5, len(str(self.video.frame_count - 1)))
        self._all = not chosen or len(chosen) == len(known)
        asked = _asked(request, self.video)
        tracked = project.tracked
        self.numbers: Sequence[int] = asked if tracked[asked.start : asked.stop].all() else [n for n in asked if tracked[n]]
        self.untracked = len(asked) - len(self.numbers)
        if self.untracked and not request.partial:
            raise ExportError(
                f"{project.location} is tracked in {len(self.numbers)} of the {len(asked)} frames asked for: run tam-dist "
                f"resume {project.location}, or export what is there with --partial."
            )
        if not self.numbers:
            raise ExportError(f"{project.location} has no tracked frame in {asked[0]}..{asked[-1]}: run tam-dist resume first.")

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of every label map, uint8 or uint16."""
        return self._project.labels.dtype

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[MaskFrame]:
        keep = np.zeros(max(256, max((o.id for o in self._project.objects), default=0) + 1), bool)
        keep[[o.id for o in self.objects]] = True
        for numbers in self._batches(self._project.config.tracking.chunk_size):
            wanted: slice | Sequence[int] = numbers
            if numbers[-1] - numbers[0] + 1 == len(numbers):
                wanted = slice(numbers[0], numbers[-1] + 1)
            labels, quality = self._project.labels[wanted], self._project.quality[wanted]
            if not self._all:
                labels = labels * keep[labels]
            for number, rows, scores in zip(numbers, labels, quality, strict=True):
                yield MaskFrame(number, rows, scores)

    def with_pictures(self) -> Iterator[tuple[MaskFrame, UInt8Array]]:
        """Each frame with the source's picture, uint8 (H, W, 3) RGB. Raises :class:`VideoError`."""
        with self.open_source() as reader:
            frames = iter(self)
            for numbers in self._batches(_PICTURES_AT_ONCE):
                first, last = numbers[0], numbers[-1]
                if last - first < 2 * len(numbers):
                    pictures = reader.read(first, last + 1)
                    yield from ((next(frames), pictures[n - first]) for n in numbers)
                else:  # few of many: decoding those between would hold them all
                    yield from ((next(frames), reader.read(n, n + 1)[0]) for n in numbers)

    def with_images(self) -> Iterator[tuple[MaskFrame, UInt8Array | None]]:
        """Each frame, with the source's picture where the request asks for images."""
        if self.request.images:
            yield from self.with_pictures()
        else:
            yield from ((frame, None) for frame in self)

    def stem(self, number: int) -> str:
        """A frame's file name without suffix: its number, as long for all frames."""
        return f"{number:0{self._digits}d}"

    def open_source(self) -> VideoReader:
        """The video, read as it was when it was tracked. Raises :class:`VideoError`."""
        from tam_dist.media.reader import open_video

        return open_video(self.video.uri, on_damage=self._project.config.media.on_damage)

    def index(self) -> VideoIndex:
        """When each frame of the source is shown."""
        with self.open_source() as reader:
            return reader.index

    def _batches(self, size: int) -> Iterator[Sequence[int]]:
        """Runs of :attr:`numbers` that lie in one cell of a grid of ``size`` frames, as chunks of masks do."""
        start = 0
        for i in range(1, len(self.numbers) + 1):
            if i == len(self.numbers) or self.numbers[i] // size != self.numbers[start] // size:
                yield self.numbers[start:i]
                start = i


def video_name(uri: str) -> str:
    """A video's name without folder and suffix, fit for a file name.

    >>> video_name("s3://films/a cat?.mp4"), video_name("/data/dogs/")
    ('a cat_', 'dogs')
    """
    last = uri.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem = last.rpartition(".")[0] or last
    return safe_name(stem)


def safe_name(text: str) -> str:
    """``text`` as one part of a path, on any file system: it cannot leave its folder.

    >>> safe_name("../../etc"), safe_name("cat: left"), safe_name("..")
    ('_.._etc', 'cat_ left', 'unnamed')
    """
    kept = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in text).strip(". ")
    return kept or "unnamed"


def _asked(request: ExportRequest, video: VideoInfo) -> range:
    if request.every < 1:
        raise ExportError(f"--every {request.every} must be 1 or more.")
    first, last = request.frames or (0, video.frame_count - 1)
    if not 0 <= first <= last < video.frame_count:
        raise ExportError(
            f"The frames {first}..{last} are not within 0..{video.frame_count - 1}, those of {video.uri}: choose from these."
        )
    return range(first, last + 1, request.every)

"""A project from outside: what was asked, how far it got, and its masks, read lazily.

>>> project = Project.open("films/a")             # doctest: +SKIP
>>> project.masks["cat"][100:200].shape           # doctest: +SKIP
(100, 1080, 1920)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storage.manifest import ModelRecord
from storage.masks import FrameIndex, FrameRows
from storage.project_store import ProjectStore
from storage.prompt_log import active
from storage.run_state import ProjectStatus
from tam_dist.config import Config, from_dict
from tam_dist.cuts import are_known, known_cuts
from tam_dist.prompts import known_object, renamed
from tam_dist.types import BoolArray, FloatArray, LabelArray, Prompt, TrackedObject, UInt8Array, VideoInfo

if TYPE_CHECKING:
    from supervision import Detections

    from tam_dist.export.run import Exported


class Project:
    """Read access to a project, also while it is being tracked by any process: a frame not tracked yet has label 0 and origin
    ``Origin.UNTRACKED``. Made by :meth:`open`, :func:`tam_dist.track` and :func:`tam_dist.resume`."""

    def __init__(self, store: ProjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, where: str | os.PathLike[str]) -> Project:
        """A directory or fsspec URL. Raises :class:`ProjectError`, :class:`SchemaError`."""
        return cls(ProjectStore.open(where, write=False))

    @property
    def location(self) -> str:
        return str(self._store.location)

    @property
    def video(self) -> VideoInfo:
        return self._store.manifest.source

    @property
    def config(self) -> Config:
        """The resolved settings that the project was made with."""
        return from_dict(dict(self._store.manifest.config))

    @property
    def objects(self) -> tuple[TrackedObject, ...]:
        """Under the names that they go by now."""
        return renamed(self._store.manifest.objects, self._store.entries())

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Those in force, in (frame, time) order, of objects under the names that they go by now."""
        names = dict(zip((o.name for o in self._store.manifest.objects), (o.name for o in self.objects), strict=True))
        in_force = active(self._store.prompts())
        return tuple(replace(p, object_name=names.get(p.object_name, p.object_name)) for p in in_force)

    @property
    def status(self) -> ProjectStatus:
        return self._store.status()

    @property
    def models(self) -> Mapping[str, ModelRecord]:
        """The weights that made the masks, by role ("xmem", "sam")."""
        return self._store.manifest.models

    @property
    def tracked(self) -> BoolArray:
        """bool (T,): the frames whose masks are there as of now."""
        tracked = np.zeros(self._store.manifest.frame_count, bool)
        for chunk in self._store.committed:
            frames = self._store.manifest.chunk_frames(chunk)
            tracked[frames.start : frames.stop] = True
        return tracked

    @property
    def cuts(self) -> tuple[int, ...]:
        """The frames that are known to begin a shot, as of now; see :func:`tam_dist.cuts.known_cuts`."""
        return known_cuts(self._store)

    @property
    def cuts_are_known(self) -> bool:
        """Whether :attr:`cuts` are all that the video has."""
        return are_known(self._store)

    @property
    def labels(self) -> FrameRows[LabelArray]:
        """uint8 or uint16 (T, H, W): 0 background, else the object's id. Index it with frames: ``labels[10:20]``."""
        return self._store.labels

    @property
    def quality(self) -> FrameRows[FloatArray]:
        """float32 (T, K) in 0..1, NaN where an object is not tracked."""
        return self._store.quality

    @property
    def origin(self) -> FrameRows[UInt8Array]:
        """uint8 (T, K) of :class:`tam_dist.types.Origin`."""
        return self._store.origin

    @property
    def masks(self) -> Mapping[str, ObjectMasks]:
        """By object name; nothing is read before it is indexed."""
        return MasksByName(self)

    def detections(self, frame: int) -> Detections:
        """The objects of a frame as ``supervision.Detections``: masks, boxes, ``tracker_id`` the object's id,
        ``confidence`` its quality, ``class_id`` and ``data["class_name"]`` the category that its name tells,
        ``data["object"]`` the name itself.

        Needs ``pip install 'tam-dist[supervision]'``. Raises :class:`ExportError` without it, :class:`IndexError`.
        """
        from tam_dist.export.detections import detections_of

        return detections_of(self, frame)

    def write_overlay(self, path: str | os.PathLike[str]) -> Path:
        """An H.264 video with the masks drawn over the source, at the source's frame times and with its sound."""
        from tam_dist.media.overlay import write_overlay
        from tam_dist.media.reader import open_video

        with open_video(self.video.uri) as reader:
            return write_overlay(reader, self.labels.__getitem__, self.objects, Path(path))

    def export(
        self,
        format: str,  # noqa: A002 (what everybody calls it)
        out: str | os.PathLike[str],
        *,
        objects: Sequence[str] = (),
        frames: tuple[int, int] | None = None,
        every: int = 1,
        partial: bool = False,
        images: bool = False,
        sound: bool = True,
        replace: bool = False,
    ) -> Exported:
        """Write masks in a format that other tools read; see :class:`tam_dist.export.request.ExportRequest` for the choices and
        :func:`tam_dist.export.run.export_project` for what it raises. ``docs/formats.md`` has the formats.
        """
        from tam_dist.export.request import ExportRequest
        from tam_dist.export.run import export_project

        request = ExportRequest(format, tuple(objects), frames, every, partial, images, sound)
        return export_project(self, out, request, replace=replace)

    def write_contact_sheet(
        self, path: str | os.PathLike[str], *, rows: int = 3, columns: int = 4, frames: Sequence[int] | None = None
    ) -> Path:
        """A PNG of ``frames``, or of ``rows * columns`` spread over the video, with their masks."""
        from tam_dist.media.contact_sheet import save_contact_sheet
        from tam_dist.media.reader import open_video

        with open_video(self.video.uri) as reader:
            return save_contact_sheet(
                reader,
                self.labels.__getitem__,
                self.objects,
                Path(path),
                frames=frames,
                rows=rows,
                columns=columns,
                cuts=self.cuts,
            )


@dataclass(frozen=True)
class ObjectMasks:
    """One object's masks, bool (T, H, W), read from the store as they are indexed, with NumPy's meaning: ``masks[7]`` (H, W),
    ``masks[10:20]`` (10, H, W).
    """

    store: ProjectStore
    object: TrackedObject

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.store.labels.shape)

    def __len__(self) -> int:
        return len(self.store.labels)

    def __getitem__(self, frames: FrameIndex) -> BoolArray:
        mask: BoolArray = self.store.labels[frames] == self.object.id
        return mask

    def __iter__(self) -> Iterator[BoolArray]:
        return (self[i] for i in range(len(self)))


class MasksByName(Mapping[str, ObjectMasks]):
    """Raises :class:`PromptError` naming the nearest object for a name that the project lacks."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def __getitem__(self, name: str) -> ObjectMasks:
        return ObjectMasks(self._project._store, known_object(name, self._project.objects))

    def __iter__(self) -> Iterator[str]:
        return (o.name for o in self._project.objects)

    def __len__(self) -> int:
        return len(self._project.objects)

    def __contains__(self, name: object) -> bool:
        return any(o.name == name for o in self._project.objects)

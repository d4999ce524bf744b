"""Which projects the pane may show, and which videos a new one may be made of: nothing else on the machine is readable."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.location import Location
from storage.manifest import MANIFEST
from tam_dist.errors import ProjectError, VideoError

#: What a new video's file may be called; folders of images are taken too.
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mxf"})
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_MOST_VIDEOS = 2000


@dataclass(frozen=True)
class Place:
    """``id`` stands for the location in addresses of the pane, and is the same after a restart."""

    id: str
    name: str
    location: str


def place_of(location: str) -> Place:
    """
    >>> place_of("/films/cat").name
    'cat'
    """
    digest = hashlib.blake2s(location.encode(), digest_size=8).hexdigest()
    return Place(digest, location.rstrip("/").rpartition("/")[2], location)


class Places:
    """The project at ``where``, or those in the folder ``where``; ``videos`` are folders that new ones may be made of."""

    def __init__(self, where: str, videos: Sequence[str] = ()) -> None:
        self._folder = Location.parse(where)
        self._single = (self._folder / MANIFEST).exists()
        self._roots = tuple(Path(root).expanduser().resolve() for root in videos)
        for root in self._roots:
            if not root.is_dir():
                raise ProjectError(f"{root} is no folder: give --videos a folder that holds videos.")
        self._known: dict[str, Place] = {}
        self._changing = threading.Lock()
        if not self._single and not self._roots and not self.projects():
            raise ProjectError(
                f"{where} is neither a project nor a folder of projects: check the path, or give --videos FOLDER."
            )

    @property
    def can_add(self) -> bool:
        """Whether projects of new videos may be made here."""
        return bool(self._roots) and not self._single

    def projects(self) -> tuple[Place, ...]:
        """As of now, by name."""
        folder = self._folder
        found = (
            [str(folder)] if self._single else [str(folder / n) for n in folder.children() if (folder / n / MANIFEST).exists()]
        )
        places = tuple(place_of(location) for location in sorted(found))
        with self._changing:
            self._known = {place.id: place for place in places}
        return places

    def project(self, identifier: str) -> Place:
        """Raises :class:`KeyError` for a project that is not here."""
        with self._changing:
            known = self._known.get(identifier)
        if known is not None:
            return known
        self.projects()
        return self._known[identifier]

    def videos(self) -> tuple[str, ...]:
        """Paths of the videos below the folders for new ones."""
        found: list[str] = []
        for root in self._roots:
            for folder, inside, files in os.walk(root):
                inside[:] = sorted(name for name in inside if not name.startswith("."))
                suffixes = [Path(name).suffix.lower() for name in files]
                if any(suffix in _IMAGE_SUFFIXES for suffix in suffixes):
                    found.append(folder)
                found += [str(Path(folder) / n) for n, s in zip(files, suffixes, strict=True) if s in VIDEO_SUFFIXES]
                if len(found) >= _MOST_VIDEOS:
                    return tuple(sorted(found)[:_MOST_VIDEOS])
        return tuple(sorted(found))

    def checked_video(self, path: str) -> Path:
        """``path`` with links followed. Raises :class:`VideoError` where that is outside the folders for new videos."""
        real = Path(path).expanduser().resolve()
        if not any(real.is_relative_to(root) for root in self._roots):
            raise VideoError(f"{path} is not in a folder that new videos may come from: name its folder with --videos.")
        return real

    def new_project(self, name: str) -> str:
        """Where the project of a new video goes. Raises :class:`ProjectError` where the name is taken or none."""
        if not self.can_add or not name or name != Path(name).name or name.startswith("."):
            raise ProjectError(f"{name!r} cannot name a project: use a plain name, without slashes.")
        if (self._folder / name).children():
            raise ProjectError(f"There is something named {name!r} in {self._folder} already: choose another name.")
        return str(self._folder / name)

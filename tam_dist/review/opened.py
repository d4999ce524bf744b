"""The projects that somebody is looking at: each open once, with its frames and scores, for all who look."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.commits import CommitLog
from storage.location import LocalLocation, Location
from storage.manifest import Manifest
from storage.project_store import ProjectStore
from storage.prompt_log import PROMPTS, PROMPTS_FOLDER, LogEntry, PromptLog
from tam_dist.config import Config, from_dict
from tam_dist.due import due_work
from tam_dist.errors import TamDistError
from tam_dist.media.reader import open_video
from tam_dist.review import runs
from tam_dist.review.frames import FrameServer, thumbnail
from tam_dist.review.places import Place, Places
from tam_dist.review.scores import Scores
from tam_dist.review.suggestions import Suggestions
from tam_dist.types import Prompt, VideoInfo

#: Projects kept open: each holds a decoder, its JPEGs and its scores.
_KEPT = 8
#: Videos opened to begin a project, of which none came: each may hold a decoder.
_DRAFTS = 16
#: Seconds between two judgements of what is stale.
_JUDGEMENT_HOLDS = 1.0


class Opened:
    """A project for reading. Any thread may ask."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.store = ProjectStore.open(place.location, write=False)
        manifest = self.store.manifest
        self.config: Config = from_dict(dict(manifest.config))
        reader = manifest.source.reader if manifest.source.reader in ("decord", "pyav") else "auto"
        self.frames = FrameServer(manifest.source.uri, reader, self.config.media.on_damage)
        self.scores = Scores(self.store)
        self._judging = threading.Lock()
        self._judged = (-1, -1, -1)
        self._judged_at = 0.0
        self._stale: frozenset[int] = frozenset()
        self._commits = CommitLog(Location.parse(place.location))
        self._log = _CachedLog(Location.parse(place.location))
        self.suggestions = Suggestions(self.store, self.scores, self.entries)

    @property
    def manifest(self) -> Manifest:
        return self.store.manifest

    @property
    def video(self) -> VideoInfo:
        return self.store.manifest.source

    def entries(self) -> tuple[LogEntry, ...]:
        """All of the log, as of now."""
        return self._log.read()

    def prompts(self) -> tuple[Prompt, ...]:
        """Those in force, in the order of the log."""
        return tuple(e for e in self._log.read() if isinstance(e, Prompt) and e.undone_by is None)

    def stale(self) -> frozenset[int]:
        """Chunks whose masks are not those of today's prompts; on a long film, as of a second ago."""
        with self._judging:
            now = (self.scores.number, len(self.entries()), self.store.edition_count())
            if now != self._judged and time.monotonic() - self._judged_at > _JUDGEMENT_HOLDS:
                self._judged_at = time.monotonic()
                with suppress(TamDistError):  # between two writes: again in a second
                    self._stale, self._judged = due_work(self.store).stale, now
            return self._stale

    def mask(self, frame: int) -> bytes:
        """The label map of ``frame`` as :mod:`tam_dist.review.runs`. Its revision is never newer than the masks: a click on
        them may be refused for nothing, never taken for one on others.
        """
        record = self._commits.get(frame // self.store.manifest.chunk_size)
        return runs.encode(self.store.labels[frame], 0 if record is None else record.revision)

    def thumbnail(self, frame: int) -> bytes:
        """A small JPEG of the frame with its masks drawn in."""
        return thumbnail(self.frames.jpeg(frame), self.store.labels[frame], self.manifest.objects)

    def close(self) -> None:
        self.frames.close()


class _CachedLog:
    """The prompt log, read again only where something was added to it: masks in it may take megabytes."""

    def __init__(self, project: Location) -> None:
        self._log = PromptLog(project)
        self._file, self._folder = project / PROMPTS, project / PROMPTS_FOLDER
        self._seen: tuple[object, ...] | None = None
        self._entries: tuple[LogEntry, ...] = ()

    def read(self) -> tuple[LogEntry, ...]:
        now = self._now()
        if now != self._seen:
            self._entries, self._seen = self._log.entries(), now
        return self._entries

    def _now(self) -> tuple[object, ...]:
        """On a disk the file grows; in an object store, whose objects stay as they are, there is one more of them."""
        added = tuple(self._folder.children())
        if isinstance(self._file, LocalLocation):
            status = self._file.path.stat() if self._file.path.exists() else None
            return (added, status and (status.st_size, status.st_mtime_ns))
        return (added, self._file.size())


@dataclass(frozen=True, eq=False)
class Draft:
    """A video that has no project yet, since nothing has been clicked on in it."""

    id: str
    name: str
    path: Path
    video: VideoInfo
    frames: FrameServer


class Opener:
    """Opens projects when they are first asked for, and closes those that were longest unused."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._drafts: dict[str, Draft] = {}
        self._opening = threading.Lock()

    def get(self, identifier: str) -> Opened:
        """Raises :class:`KeyError` for a project that is not here, :class:`ProjectError`, :class:`SchemaError`."""
        with self._opening:
            found = self._opened.get(identifier)
            if found is None:
                found = self._opened[identifier] = Opened(self.places.project(identifier))
                while len(self._opened) > _KEPT:
                    self._opened.popitem(last=False)[1].close()
            self._opened.move_to_end(identifier)
            return found

    def draft(self, identifier: str) -> Draft:
        """Raises :class:`KeyError`."""
        return self._drafts[identifier]

    def start_draft(self, path: str, name: str) -> Draft:
        """Raises :class:`VideoError` for a video that is none, or lies elsewhere, :class:`ProjectError` for a bad name."""
        real = self.places.checked_video(path)
        self.places.new_project(name)
        with open_video(real) as reader:
            info = reader.info
        draft = Draft(f"new-{uuid.uuid4().hex[:12]}", name, real, info, FrameServer(str(real)))
        self._drafts[draft.id] = draft
        if len(self._drafts) > _DRAFTS:
            self.finish_draft(next(iter(self._drafts)))
        return draft

    def finish_draft(self, identifier: str) -> None:
        draft = self._drafts.pop(identifier, None)
        if draft is not None:
            draft.frames.close()

    def close(self) -> None:
        with self._opening:
            for each in self._opened.values():
                each.close()
            self._opened.clear()

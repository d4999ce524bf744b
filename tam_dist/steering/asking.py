"""A project as whoever asks something of it sees it, and the way from there into its log."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from storage.location import Location
from storage.project_reader import ProjectReader
from storage.project_store import ProjectStore
from storage.prompt_log import LOG_VERSION, LogEntry
from storage.run_state import log_version
from tam_dist.errors import ProjectError, ProjectLockedError, PromptError, StaleViewError
from tam_dist.prompts import known_object, objects_in_log, renamed, validate_one
from tam_dist.steering.telling import tell_run
from tam_dist.types import Absent, BoolArray, Mask, Prompt, TrackedObject, VideoInfo

Where = str | os.PathLike[str]


@dataclass(frozen=True)
class Acknowledged:
    """What was asked is in the log, under the uuids ``entries``, and nothing can lose it any more; ``group`` names it as one
    action. ``live``: a run under way was told; otherwise the next one, :func:`tam_dist.resume` say, takes it up.
    """

    entries: tuple[str, ...]
    group: str
    live: bool


class Asking:
    """Reads the project once, when made. Raises :class:`ProjectError` where there is none, :class:`SchemaError`."""

    def __init__(self, where: Where) -> None:
        self.store = ProjectStore.open(where, write=False)
        self.entries = self.store.entries()
        self.objects = objects_in_log(self.store.manifest.objects, self.entries)

    @property
    def where(self) -> Location:
        return self.store.location

    @property
    def video(self) -> VideoInfo:
        return self.store.manifest.source

    @cached_property
    def shown(self) -> tuple[TrackedObject, ...]:
        """The objects under the names that they go by now."""
        return renamed(self.objects, self.entries)

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """Those in force, in the order of the log."""
        return tuple(entry for entry in self.entries if isinstance(entry, Prompt) and entry.undone_by is None)

    def name_in_log(self, shown: str) -> str:
        """Raises :class:`PromptError` that names the nearest object where none goes by that name."""
        return self.objects[known_object(shown, self.shown).id - 1].name

    def shown_name(self, name: str) -> str:
        return next((show.name for known, show in zip(self.objects, self.shown, strict=True) if known.name == name), name)

    def with_object(self, name: str) -> tuple[TrackedObject, ...]:
        """The objects, and one more where none has that name in the log."""
        known = any(o.name == name for o in self.objects)
        return self.objects if known else (*self.objects, TrackedObject(len(self.objects) + 1, name, (0, 0, 0)))

    def locked(self, frame: int) -> dict[str, Prompt]:
        """What locks a frame, by the object's name in the log."""
        return {p.object_name: p for p in self.prompts if p.purpose == "lock" and p.frame == frame}

    def stored_mask(self, name: str, frame: int) -> BoolArray | None:
        """bool (H, W) of the object with that name in the log; None where there is nothing of it."""
        return stored_mask(self.store, self.objects, name, frame)

    # --- checks ---------------------------------------------------------------------------------------------------------

    def check_frame(self, frame: int) -> None:
        """Raises :class:`PromptError` where the video has no such frame."""
        if not 0 <= frame < self.video.frame_count:
            raise PromptError(f"There is no frame {frame}: {self.where} has frames 0..{self.video.frame_count - 1}.")

    def check_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Raises :class:`PromptError` for the first one, named as in the log, that does not fit the video or would change a
        frame that is locked.
        """
        for prompt in prompts:
            shown = self.shown_name(prompt.object_name)
            validate_one(replace(prompt, object_name=shown), self.video)
            absent = isinstance(prompt.data, Absent)
            for kept in self.prompts:
                if kept.purpose != "lock" or kept.object_name != prompt.object_name or not _meet(prompt, kept.frame):
                    continue
                if absent and not isinstance(kept.data, Mask):
                    continue  # it is locked as what the absence says
                raise PromptError(f"Frame {kept.frame} is locked for {shown!r}: unlock it first, or leave it out.")

    def check_seen(self, seen: Mapping[int, int] | None, prompts: Sequence[Prompt] = ()) -> None:
        """``seen``: the revision of the masks that somebody looked at, by frame. Raises :class:`StaleViewError` where they are
        others now, or will be since somebody else has given prompts there for the same objects.
        """
        for frame, revision in (seen or {}).items():
            self.check_frame(frame)
            record = self.store.record(frame // self.store.manifest.chunk_size)
            now = 0 if record is None else record.revision
            if now != revision:
                raise StaleViewError(
                    f"Frame {frame} has masks of revision {now}, and what you looked at was revision {revision}: look again."
                )
            for prompt in prompts:
                for other in self.prompts:
                    same = (other.frame, other.object_name) == (prompt.frame, prompt.object_name) and prompt.frame == frame
                    if same and other.author != prompt.author and record is not None and other.uuid not in record.prompts:
                        shown = self.shown_name(other.object_name)
                        raise StaleViewError(f"{other.author} has corrected {shown!r} on frame {frame} meanwhile: look again.")

    def check_open(self) -> None:
        """Raises :class:`ProjectError` where nothing that is asked now would come about."""
        status = self.store.status()
        if status.writer is not None:
            if log_version(self.where) < LOG_VERSION and status.state == "running":
                raise ProjectLockedError(
                    f"{self.where} is being written by an older tam-dist, {status.writer}, that would not understand this: "
                    "wait for its end, or stop it first."
                )
        elif status.state in ("cancelled", "failed"):
            what = "was cancelled" if status.state == "cancelled" else "failed"
            raise ProjectError(f"{self.where} {what}: continue it with tam-dist resume before anything is changed in it.")

    # --- into the log -----------------------------------------------------------------------------------------------------

    def repeated(self, prompts: Sequence[Prompt]) -> Acknowledged | None:
        """Where all of ``prompts`` are in the log already, as after an answer that was lost: what was answered."""
        known = {entry.uuid: entry for entry in self.entries}
        if not prompts or not all(prompt.uuid in known for prompt in prompts):
            return None
        group = next((known[p.uuid].group for p in prompts if known[p.uuid].group), "")
        uuids = tuple(entry.uuid for entry in self.entries if entry.group == group) if group else (prompts[0].uuid,)
        return Acknowledged(uuids, group or uuids[0], tell_run(self.where))

    def append(self, entries: Sequence[LogEntry], group: str | None = None) -> Acknowledged:
        """As one action. Prompts get times behind those in the log, which orders what several people say about one frame.

        Raises :class:`ProjectError` as :meth:`check_open`, :class:`StorageError`.
        """
        self.check_open()
        group = group or (uuid.uuid4().hex if len(entries) > 1 else "")
        last = max((entry.time for entry in self.entries), default=0.0)
        start = max(time.time(), last + 1e-6)
        stamped = [replace(entry, time=start + i * 1e-6, group=group) for i, entry in enumerate(entries)]
        self.store.append_entries(stamped)
        uuids = tuple(entry.uuid for entry in stamped)
        return Acknowledged(uuids, group or uuids[0], tell_run(self.where))


def stored_mask(store: ProjectReader, objects: Iterable[TrackedObject], name: str, frame: int) -> BoolArray | None:
    """As :meth:`Asking.stored_mask`, of a project that is open already."""
    object_id = next((o.id for o in objects if o.name == name), None)
    if object_id is None:
        return None
    mask: BoolArray = store.labels[frame] == object_id
    return mask if mask.any() else None


def _meet(prompt: Prompt, frame: int) -> bool:
    return prompt.data.first <= frame <= prompt.data.last if isinstance(prompt.data, Absent) else prompt.frame == frame

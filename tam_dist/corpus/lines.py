"""Corpora: JSON lines, a folder, a glob or a single video, as a list of videos with what is asked of each.

A line of a corpus file names a video and its prompts, and may give the project's name::

    {"video": "a.mp4", "prompts": [{"object": "cat", "frame": 0, "clicks": [[320, 240, 1]]}], "name": "cat-1"}

The entries of ``prompts`` are those of :mod:`tam_dist.prompt_files`. Paths are relative to the file's folder; for standard
input and on the command line, to the working folder. A video without prompts takes those of the :class:`PromptRule`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tam_dist.addresses import absolute, check_path, parent
from tam_dist.errors import ConfigError, PromptError, StorageError, TamDistError
from tam_dist.media.image_folder import IMAGE_SUFFIXES
from tam_dist.prompt_files import from_entries
from tam_dist.prompts import collect, in_given_order
from tam_dist.strict_json import parse, shown
from tam_dist.types import Prompt

#: What counts as a video in a folder; a glob takes whatever matches.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv"),
    *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".flv", ".ogv"),
)
#: What a run keeps in its folder beside the projects.
RESERVED = frozenset({"run.json", "failed.jsonl", "requests"})
#: A project's name with a few digits of a hash, and the names of what lies in it, must fit into what file systems take.
MAX_NAME_BYTES = 200
_FIELDS = ("video", "prompts", "name")
_GLOB = frozenset("*?[")


@dataclass(frozen=True)
class CorpusLine:
    """One video. ``number`` is its line, from 1; ``video`` an absolute path or URL; ``written`` the path as it was given,
    which stays the same when the corpus is moved; ``name`` the project's name where one was given.
    """

    number: int
    video: str
    written: str
    prompts: tuple[Prompt, ...]
    name: str | None = None


@dataclass(frozen=True)
class BrokenLine:
    """A line that can't be run. ``video`` is what it gives as such, or its text where that can't be told."""

    number: int
    video: str
    reason: str


Line = CorpusLine | BrokenLine


@dataclass(frozen=True)
class PromptRule:
    """One set of prompts for every video, in the words of ``tam-dist track``. In paths ``{stem}`` stands for the video's name
    without its suffix and ``{folder}`` for where it lies.
    """

    clicks: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    absences: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.clicks, self.boxes, self.labels, self.absences, self.files))

    def prompts_for(self, video: str) -> tuple[Prompt, ...]:
        """Raises :class:`PromptError`."""
        folder = parent(video)

        def fill(text: str) -> str:
            return text.replace("{stem}", stem(video)).replace("{folder}", folder)

        return tuple(
            collect(
                clicks=self.clicks,
                boxes=self.boxes,
                labels=[fill(text) for text in self.labels],
                absences=self.absences,
                files=[fill(file) for file in self.files],
            )
        )


def read_corpus(source: str, rule: PromptRule | None = None, *, stdin: IO[str] | None = None) -> list[Line]:
    """The videos of ``source``: a file of JSON lines (``.jsonl``, or ``-`` for standard input), a folder, a glob, or one video.

    Any may be an fsspec URL. What is there under that very name is no glob: ``Movie [1080p].mp4`` is a video. A line that is
    wrong becomes a :class:`BrokenLine`; the others stand. Raises :class:`ConfigError` where there is nothing at all,
    :class:`StorageError` where it can't be read.
    """
    rule = rule or PromptRule()
    if source == "-":
        lines = parse_lines(stdin or sys.stdin, "standard input", Path.cwd().as_posix(), rule)
    elif source.lower().endswith((".jsonl", ".ndjson")):
        folder, _, _ = absolute(source).rpartition("/")
        lines = parse_lines(_text_lines(source), source, folder, rule)
    else:
        lines = _lines_of_videos(_find_videos(source), rule)
    try:
        found = list(lines)
    except UnicodeDecodeError as error:
        raise ConfigError(f"Standard input is not text in UTF-8: {error.reason} at byte {error.start}.") from error
    if not found:
        raise ConfigError(f"{'Standard input' if source == '-' else source} names no video: give one line for each.")
    return found


def parse_lines(lines: Iterable[str], where: str, folder: str, rule: PromptRule) -> Iterator[Line]:
    """Blank lines and those that start with ``#`` are passed over. ``folder`` is what relative paths are relative to.

    >>> next(parse_lines(['{"vidoe": "a.mp4"}'], "c.jsonl", "/films", PromptRule())).reason
    "c.jsonl, line 1 has an unknown field 'vidoe'; did you mean 'video'?"
    """
    for number, text in enumerate(lines, 1):
        text = text.strip().removeprefix("\ufeff")
        if not text or text.startswith("#"):
            continue
        video = text if len(text) <= 80 else f"{text[:77]}..."
        try:
            fields = _fields(text, f"{where}, line {number}")
            video = fields["video"]
            yield _line(number, fields, f"{where}, line {number}", folder, rule)
        except TamDistError as error:
            yield BrokenLine(number, video, str(error))


def stem(video: str) -> str:
    """The last part of a path or URL, without its suffix.

    >>> stem("s3://films/2024/cat.final.mp4"), stem("frames/")
    ('cat.final', 'frames')
    """
    last = video.rstrip("/").rpartition("/")[2]
    head, dot, suffix = last.rpartition(".")
    return head if dot and head and f".{suffix}".lower() in VIDEO_SUFFIXES else last


# --- lines -----------------------------------------------------------------------------------------------------------


def _fields(text: str, where: str) -> dict[str, Any]:
    try:
        fields = parse(text)
    except ValueError as error:
        raise PromptError(f"{where} is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise PromptError(f'{where} must be an object such as {{"video": "a.mp4", "prompts": [...]}}.')
    for key in fields:
        if key not in _FIELDS:
            near = difflib.get_close_matches(key, _FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_FIELDS)}."
            raise PromptError(f"{where} has an unknown field {key!r}; {hint}")
    if not isinstance(fields.get("video"), str) or not fields["video"]:
        raise PromptError(f'{where}, field "video": {shown(fields.get("video"))} must be the path of a video.')
    check_path(fields["video"], f"{where}: the name of the video", PromptError)
    return fields


def _line(number: int, fields: dict[str, Any], where: str, folder: str, rule: PromptRule) -> CorpusLine:
    written = str(fields["video"])
    name = fields.get("name")
    if name is not None:
        _check_name(name, f'{where}, field "name"')
    video = absolute(written, folder)
    if "prompts" in fields:
        prompts = tuple(in_given_order(from_entries(fields["prompts"], f'{where}, field "prompts"', folder)))
    elif rule:
        prompts = rule.prompts_for(video)
    else:
        raise PromptError(f'{where} lacks the field "prompts": say what to track in {written}.')
    return CorpusLine(number, video, written, prompts, name)


def _check_name(name: Any, where: str) -> None:
    bad = not isinstance(name, str) or not name.isprintable() or set(name) & set('/\\:*?"<>|')
    if bad or not name or name.startswith(".") or name in RESERVED or len(name.encode()) > MAX_NAME_BYTES:
        raise PromptError(
            f"{where}: {shown(name)} can't name a project's folder; use letters and digits, {MAX_NAME_BYTES} at most."
        )


def _text_lines(path: str) -> list[str]:
    import fsspec

    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            return list(file)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no corpus {path}: check the path.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The corpus {path} is not text in UTF-8: {error.reason} at byte {error.start}.") from error
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(source: str, error: Exception) -> StorageError:
    """Libraries below fsspec have errors of their own: no credentials, no such host."""
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    advice = ": check the address, the credentials and the network" if "://" in source else ""
    return StorageError(f"The corpus {source} can't be read: {reason}{advice}.")


# --- folders and globs -----------------------------------------------------------------------------------------------


def _lines_of_videos(videos: Sequence[str], rule: PromptRule) -> Iterator[Line]:
    if not rule:
        raise PromptError("A folder or glob of videos needs prompts for each: give --click, --box, --labels or --prompts.")
    for number, video in enumerate(videos, 1):
        try:
            check_path(video, "The name of the video", PromptError)
            yield CorpusLine(number, video, video, rule.prompts_for(video))
        except PromptError as error:
            yield BrokenLine(number, video.encode("utf-8", "backslashreplace").decode(), str(error))


def _find_videos(source: str) -> list[str]:
    """Sorted absolute paths or URLs."""
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(source)
        if _GLOB & set(source) and not fs.exists(root):
            found = sorted(fs.glob(root))
        elif fs.isdir(root):
            found = _videos_in(fs, root)
        elif fs.exists(root):
            found = [root]
        else:
            raise ConfigError(f"There is no corpus {source}: give a file of JSON lines, a folder, a glob or a video.")
    except ConfigError:
        raise
    except Exception as error:
        raise _unreadable(source, error) from error
    if not found:
        raise ConfigError(f"No video was found at {source}: check the folder or the pattern.")
    return [str(fs.unstrip_protocol(path)) if "://" in source else str(path) for path in found]


def _videos_in(fs: Any, folder: str) -> list[str]:
    """Video files and folders of images; where the folder holds images itself, it is the video."""
    entries = [entry for entry in _entries(fs, folder) if not _name(entry).startswith(".")]
    files = [entry for entry in entries if entry["type"] == "file"]
    if _has_images(files):
        return [folder]
    videos = [entry["name"] for entry in files if _name(entry).lower().endswith(VIDEO_SUFFIXES)]
    folders = [entry["name"] for entry in entries if entry["type"] == "directory"]
    return sorted([*videos, *(each for each in folders if _has_images(_entries(fs, each)))])


def _entries(fs: Any, folder: str) -> list[dict[str, Any]]:
    """What lies in a folder, links as what they lead to; one that leads nowhere is a file, whose absence is told later."""

    def followed(entry: dict[str, Any]) -> dict[str, Any]:
        return {**entry, "type": "directory" if fs.isdir(entry["name"]) else "file"} if entry.get("islink") else entry

    return [followed(entry) for entry in fs.ls(folder, detail=True)]


def _has_images(entries: Iterable[dict[str, Any]]) -> bool:
    return any(entry["type"] == "file" and _name(entry).lower().endswith(IMAGE_SUFFIXES) for entry in entries)


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]

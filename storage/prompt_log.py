"""The prompt log: the only record of what people asked for. It only ever grows; taking a prompt back is an entry too.

One JSON object per entry: ``uuid, time, author``, ``frame`` (prompts), ``object`` (prompts and renames), ``kind, data``,
``undone_by`` (prompts). ``data`` by kind:

=========  ==========================================================
clicks     ``[[x, y, 1 positive | 0 negative], …]``
box        ``[x0, y0, x1, y1]``
mask       base64 of a PNG of the source's size
absent     ``[first, last]`` frame, both included
undo       the uuid of the entry taken back
redo       the uuid of the entry in force again
rename     the object's new name; ``object`` stays its first one
retrack    ``[first, last]`` frame whose masks are wanted anew
=========  ==========================================================

Then come, where they are not the default, ``purpose`` (of prompts: ``correction`` or ``lock``) and ``group``, the uuid of the
action that several entries make up. Each entry ends with ``crc``, the CRC-32 (hex) of the entry without it; entries of earlier
versions have none. So a line that a crash or a disk tore is never taken for a shorter one.

On a disk, entries are lines of ``prompts.jsonl``, appended under a file lock and flushed before the call returns. Object
stores cannot append, and rewriting the file would let two people lose each other's corrections, so there what is appended
together is an object of its own in ``prompts/``. Both forms are read everywhere, so a project may be copied between the two.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import math
import os
import time
import uuid
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, get_args

from storage.location import LocalLocation, Location, storage_errors
from tam_dist.errors import PromptError, SchemaError
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, PromptData, Purpose

PROMPTS = "prompts.jsonl"
PROMPTS_FOLDER = "prompts"
#: Raised with every kind of entry that earlier versions would not read; 1 had prompts and undo.
LOG_VERSION = 2


@dataclass(frozen=True)
class Undo:
    """Takes back the entry ``target``: a prompt, a rename or a retrack. ``group``: as in :class:`Prompt`."""

    uuid: str
    time: float
    author: str
    target: str
    group: str = ""


@dataclass(frozen=True)
class Redo:
    """Puts the entry ``target`` in force again."""

    uuid: str
    time: float
    author: str
    target: str
    group: str = ""


@dataclass(frozen=True)
class Rename:
    """Shows the object ``object_name``, which stays its name in the log, as ``new_name`` from now on."""

    uuid: str
    time: float
    author: str
    object_name: str
    new_name: str
    undone_by: str | None = None
    group: str = ""


@dataclass(frozen=True)
class Retrack:
    """Asks for the masks of frames ``first`` to ``last``, both included, anew."""

    uuid: str
    time: float
    author: str
    first: int
    last: int
    undone_by: str | None = None
    group: str = ""


LogEntry = Prompt | Undo | Redo | Rename | Retrack


class PromptLog:
    """The prompts of the project at ``project``. Any number of processes may read and append."""

    def __init__(self, project: Location) -> None:
        self._file = project / PROMPTS
        self._folder = project / PROMPTS_FOLDER

    def entries(self) -> tuple[LogEntry, ...]:
        """All entries in the order of the log, those taken back with ``undone_by`` set: the last undo or redo of one decides.

        The same uuid twice counts once, so that appending may be repeated. Raises :class:`SchemaError` for a damaged entry.
        """
        entries: dict[str, LogEntry] = {}
        for entry in self._read():
            entries.setdefault(entry.uuid, entry)
        return resolved(tuple(entries.values()))

    def read(self) -> tuple[Prompt, ...]:
        """The prompts among :meth:`entries`."""
        return tuple(entry for entry in self.entries() if isinstance(entry, Prompt))

    def append(self, entries: Iterable[LogEntry]) -> None:
        """Durable when it returns. Raises :class:`StorageError`."""
        lines = [encode(entry) for entry in entries]
        if not lines:
            return
        if isinstance(self._file, LocalLocation):
            _append_lines(self._file, lines)
            return
        # The name orders by time of arrival; the uuid keeps two arrivals in the same nanosecond apart.
        (self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.json").write("\n".join(lines).encode())

    def undo(self, target: str, *, author: str, when: float | None = None) -> Undo:
        """Take back the prompt whose uuid is ``target``. Raises :class:`PromptError` where there is none in force."""
        if not any(p.uuid == target and p.undone_by is None for p in self.read()):
            raise PromptError(f"There is no prompt {target} in force in {self._file}; list them with tam-dist status.")
        entry = Undo(uuid.uuid4().hex, time.time() if when is None else when, author, target)
        self.append([entry])
        return entry

    def _read(self) -> list[LogEntry]:
        data = self._file.read() or b""
        *lines, last = data.split(b"\n")
        entries = [decode(line, f"{self._file} line {n}") for n, line in enumerate(lines, 1) if line.strip()]
        if _is_whole(last):  # else: what a crash left of an append that was never acknowledged
            entries.append(decode(last, f"{self._file} line {len(lines) + 1}"))
        names = [name for name in self._folder.children() if name.endswith(".json")]
        for name, content in zip(names, self._folder.read_many(names), strict=True):
            if content is not None:
                entries += [decode(line, str(self._folder / name)) for line in content.split(b"\n") if line.strip()]
        return entries


def resolved(entries: Sequence[LogEntry]) -> tuple[LogEntry, ...]:
    """``entries``, in the order of the log, with ``undone_by`` set by the undos and redos among them."""
    undone: dict[str, str | None] = {}
    for entry in entries:
        if isinstance(entry, Undo):
            undone[entry.target] = undone.get(entry.target) or entry.uuid
        elif isinstance(entry, Redo):
            undone[entry.target] = None
    return tuple(
        replace(entry, undone_by=undone[entry.uuid])
        if entry.uuid in undone and isinstance(entry, Prompt | Rename | Retrack)
        else entry
        for entry in entries
    )


def active(prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Those not taken back, by frame, then time (then uuid, so that the order is never a matter of chance)."""
    return tuple(sorted((p for p in prompts if p.undone_by is None), key=lambda p: (p.frame, p.time, p.uuid)))


def encode(entry: LogEntry) -> str:
    """One line of JSON, without the newline.

    >>> encode(Prompt("u1", 0.5, "ann", 3, "cat", Absent(3, 9)))
    '{"uuid":"u1","time":0.5,"author":"ann","frame":3,"object":"cat","kind":"absent","data":[3,9],"undone_by":null,"crc":"eb1d8b55"}'
    """
    fields: dict[str, Any] = {"uuid": entry.uuid, "time": entry.time, "author": entry.author}
    match entry:
        case Prompt():
            fields |= {"frame": entry.frame, "object": entry.object_name, "kind": entry.data.kind}
            fields |= {"data": _encode_data(entry.data), "undone_by": entry.undone_by}
            fields |= {} if entry.purpose == "prompt" else {"purpose": entry.purpose}
        case Undo():
            fields |= {"kind": "undo", "data": entry.target}
        case Redo():
            fields |= {"kind": "redo", "data": entry.target}
        case Rename():
            fields |= {"object": entry.object_name, "kind": "rename", "data": entry.new_name}
        case Retrack():
            fields |= {"kind": "retrack", "data": [entry.first, entry.last]}
    fields |= {"group": entry.group} if entry.group else {}
    text = _dump(fields)
    return f'{text[:-1]},"crc":"{zlib.crc32(text.encode()):08x}"}}'


def decode(line: bytes | str, where: str) -> LogEntry:
    """The inverse of :func:`encode`. Raises :class:`SchemaError` naming ``where``."""
    try:
        fields = json.loads(line)
        _check_crc(fields)
        return _decode(fields)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, binascii.Error) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise SchemaError(f"{where} is not a prompt of this version of tam-dist ({reason}): repair or remove it.") from error


def _decode(fields: Any) -> LogEntry:
    who = (fields["uuid"], float(fields["time"]), fields["author"])
    kind, data, group = fields["kind"], fields["data"], fields.get("group", "")
    match kind:
        case "undo":
            return Undo(*who, data, group)
        case "redo":
            return Redo(*who, data, group)
        case "rename":
            return Rename(*who, fields["object"], data, group=group)
        case "retrack":
            first, last = map(_frame, data)
            return Retrack(*who, first, last, group=group)
    purpose = fields.get("purpose", "prompt")
    if purpose not in get_args(Purpose):
        raise ValueError(f"unknown purpose {purpose!r}")
    frame = _frame(fields["frame"])
    return Prompt(*who, frame, fields["object"], _decode_data(kind, data), fields.get("undone_by"), purpose, group)


def _dump(fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False)


def _check_crc(fields: Any) -> None:
    given = fields.pop("crc", None)
    if given is not None and given != f"{zlib.crc32(_dump(fields).encode()):08x}":
        raise ValueError("its checksum does not agree")


def _frame(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{str(value)[:40]} is no frame")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]} is no coordinate")
    return value


def _encode_data(data: PromptData) -> Any:
    match data:
        case Clicks(points):
            return [[p.x, p.y, int(p.positive)] for p in points]
        case Box(x0, y0, x1, y1):
            return [x0, y0, x1, y1]
        case Mask(png):
            return base64.b64encode(png).decode("ascii")
        case Absent(first, last):
            return [first, last]


def _decode_data(kind: str, data: Any) -> PromptData:
    match kind:
        case "clicks":
            return Clicks(tuple(Click(_number(x), _number(y), bool(positive)) for x, y, positive in data))
        case "box":
            return Box(*map(_number, data))
        case "mask":
            return Mask(base64.b64decode(data, validate=True))
        case "absent":
            return Absent(*map(_frame, data))
    raise ValueError(f"unknown kind {kind!r}")


def _is_whole(line: bytes) -> bool:
    try:
        fields = json.loads(line)
        if not isinstance(fields, dict):
            return False
        _check_crc(fields)
    except (ValueError, RecursionError):
        return False
    return True


def _append_lines(file: LocalLocation, lines: Sequence[str]) -> None:
    """Append under a lock, after cutting off a torn last line that would swallow the first new one."""
    with storage_errors("Writing", file):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with open(file.path, "a+b", buffering=0) as log:
            fcntl.flock(log, fcntl.LOCK_EX)  # released when the file closes, or by the kernel with the process
            log.seek(0)
            head, newline, last = log.readall().rpartition(b"\n")
            whole = len(head) + len(newline)
            text = "".join(f"{line}\n" for line in lines).encode()
            if last and _is_whole(last):
                text = b"\n" + text
            elif last:
                log.truncate(whole)
            before = log.seek(0, os.SEEK_END)
            try:
                while text:
                    text = text[log.write(text) :]
                os.fsync(log.fileno())
            except OSError:
                with suppress(OSError):
                    log.truncate(before)  # a part of an action is none
                raise

"""The prompt log: the only record of what people asked for. It only ever grows; taking a prompt back is an entry too.

One JSON object per entry: ``uuid, time, author, frame, object, kind, data, undone_by``, or for taking one back ``uuid, time,
author, kind = "undo", data = the uuid taken back``. ``data`` by kind:

=========  ==========================================================
clicks     ``[[x, y, 1 positive | 0 negative], …]``
box        ``[x0, y0, x1, y1]``
mask       base64 of a PNG of the source's size
absent     ``[first, last]`` frame, both included
=========  ==========================================================

Each entry ends with ``crc``, the CRC-32 (hex) of the entry without it; entries of earlier versions have none. So a line that a
crash or a disk tore is never taken for a shorter one.

On a disk, entries are lines of ``prompts.jsonl``, appended under a file lock and flushed before the call returns. Object
stores cannot append, and rewriting the file would let two people lose each other's corrections, so there each entry is an
object of its own in ``prompts/``. Both forms are read everywhere, so a project may be copied between the two.
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
from dataclasses import dataclass, replace
from typing import Any

from storage.location import LocalLocation, Location, storage_errors
from tam_dist.errors import PromptError, SchemaError
from tam_dist.types import Absent, Box, Click, Clicks, Mask, Prompt, PromptData

PROMPTS = "prompts.jsonl"
PROMPTS_FOLDER = "prompts"


@dataclass(frozen=True)
class Undo:
    """Takes back the prompt ``target``."""

    uuid: str
    time: float
    author: str
    target: str


class PromptLog:
    """The prompts of the project at ``project``. Any number of processes may read and append."""

    def __init__(self, project: Location) -> None:
        self._file = project / PROMPTS
        self._folder = project / PROMPTS_FOLDER

    def read(self) -> tuple[Prompt, ...]:
        """All prompts in the order given, those taken back with ``undone_by`` set.

        The same uuid twice counts once, so that appending may be repeated. Raises :class:`SchemaError` for a damaged entry.
        """
        prompts: dict[str, Prompt] = {}
        undone: dict[str, str] = {}
        for entry in self._entries():
            if isinstance(entry, Undo):
                undone.setdefault(entry.target, entry.uuid)
            else:
                prompts.setdefault(entry.uuid, entry)
        return tuple(replace(p, undone_by=undone[p.uuid]) if p.uuid in undone else p for p in prompts.values())

    def append(self, entries: Iterable[Prompt | Undo]) -> None:
        """Durable when it returns. Raises :class:`StorageError`."""
        lines = [encode(entry) for entry in entries]
        if not lines:
            return
        if isinstance(self._file, LocalLocation):
            _append_lines(self._file, lines)
            return
        for line in lines:
            # The name orders by time of arrival; the uuid keeps two arrivals in the same nanosecond apart.
            (self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.json").write(line.encode())

    def undo(self, target: str, *, author: str, when: float | None = None) -> Undo:
        """Take back the prompt whose uuid is ``target``. Raises :class:`PromptError` where there is none in force."""
        if not any(p.uuid == target and p.undone_by is None for p in self.read()):
            raise PromptError(f"There is no prompt {target} in force in {self._file}; list them with tam-dist status.")
        entry = Undo(uuid.uuid4().hex, time.time() if when is None else when, author, target)
        self.append([entry])
        return entry

    def _entries(self) -> list[Prompt | Undo]:
        data = self._file.read() or b""
        *lines, last = data.split(b"\n")
        entries = [decode(line, f"{self._file} line {n}") for n, line in enumerate(lines, 1) if line.strip()]
        if _is_whole(last):  # else: what a crash left of an append that was never acknowledged
            entries.append(decode(last, f"{self._file} line {len(lines) + 1}"))
        names = [name for name in self._folder.children() if name.endswith(".json")]
        for name, content in zip(names, self._folder.read_many(names), strict=True):
            if content is not None:
                entries.append(decode(content, str(self._folder / name)))
        return entries


def active(prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Those not taken back, by frame, then time (then uuid, so that the order is never a matter of chance)."""
    return tuple(sorted((p for p in prompts if p.undone_by is None), key=lambda p: (p.frame, p.time, p.uuid)))


def encode(entry: Prompt | Undo) -> str:
    """One line of JSON, without the newline.

    >>> encode(Prompt("u1", 0.5, "ann", 3, "cat", Absent(3, 9)))
    '{"uuid":"u1","time":0.5,"author":"ann","frame":3,"object":"cat","kind":"absent","data":[3,9],"undone_by":null,"crc":"eb1d8b55"}'
    """
    fields: dict[str, Any] = {"uuid": entry.uuid, "time": entry.time, "author": entry.author}
    if isinstance(entry, Undo):
        fields |= {"kind": "undo", "data": entry.target}
    else:
        fields |= {"frame": entry.frame, "object": entry.object_name, "kind": entry.data.kind}
        fields |= {"data": _encode_data(entry.data), "undone_by": entry.undone_by}
    text = _dump(fields)
    return f'{text[:-1]},"crc":"{zlib.crc32(text.encode()):08x}"}}'


def decode(line: bytes | str, where: str) -> Prompt | Undo:
    """The inverse of :func:`encode`. Raises :class:`SchemaError` naming ``where``."""
    try:
        fields = json.loads(line)
        _check_crc(fields)
        if fields["kind"] == "undo":
            return Undo(fields["uuid"], fields["time"], fields["author"], fields["data"])
        data = _decode_data(fields["kind"], fields["data"])
        undone_by = fields.get("undone_by")
        frame = _frame(fields["frame"])
        return Prompt(fields["uuid"], float(fields["time"]), fields["author"], frame, fields["object"], data, undone_by)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, binascii.Error) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise SchemaError(f"{where} is not a prompt of this version of tam-dist ({reason}): repair or remove it.") from error


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
        with open(file.path, "a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)  # released when the file closes, or by the kernel with the process
            log.seek(0)
            head, newline, last = log.read().rpartition(b"\n")
            whole = len(head) + len(newline)
            text = "".join(f"{line}\n" for line in lines).encode()
            if last and _is_whole(last):
                text = b"\n" + text
            elif last:
                log.truncate(whole)
            log.write(text)
            log.flush()
            os.fsync(log.fileno())

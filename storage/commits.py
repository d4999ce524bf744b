"""Commit records: a chunk is committed when its record is there, and not otherwise.

The record is written after the chunk's shards. Where a committed chunk is to be rewritten, a marker ``00000042.rewriting``
goes up first and comes down last, and while it is there the chunk does not count as committed: the record's digest may
belong to the old masks or the new ones. What is committed is thus known from one listing, without reading 10,000 records
of a two-hour film.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from storage.location import Location
from tam_dist.errors import SchemaError
from tam_dist.types import Basis, FloatArray, LabelArray, UInt8Array

COMMITS = "commits"
_RECORD = ".json"
_MARKER = ".rewriting"


@dataclass(frozen=True)
class CommitRecord:
    """``digest`` of the labels (:func:`labels_digest`), ``scores`` of quality and origin over ``objects`` columns,
    ``checkpoint`` of the state after the chunk where one was stored; ``revision`` counts the chunk's masks from 1;
    ``prompts`` are the uuids applied in the chunk; ``time`` is seconds since the epoch; ``basis`` is what the masks were made
    from, ``stored`` the digest of the bytes they are stored as (both None in records of versions that did not say);
    ``backward`` is the digest of the backward pass's state after the chunk, where one was stored; ``cuts`` are its frames that
    begin a shot, None where nobody looked. ``edition`` of the track record as of which the masks were made (0: not said), and
    for how many frames in a row, up to the chunk's last, they agree with those that they replaced (``agreeing``),
    or down to its first, those of a pass back from a correction with those that it found (``agreeing_back``). ``changed`` is
    the share 0..1 of the chunk's pixels that this revision gave to something else.
    """

    chunk: int
    revision: int
    digest: str
    scores: str
    objects: int
    checkpoint: str | None
    prompts: tuple[str, ...]
    time: float
    basis: Basis | None = None
    stored: str | None = None
    backward: str | None = None
    cuts: tuple[int, ...] | None = None
    edition: int = 0
    agreeing: int = 0
    agreeing_back: int = 0
    changed: float = 0.0

    @classmethod
    def from_json(cls, data: bytes, where: object) -> CommitRecord:
        """Raises :class:`SchemaError` naming ``where`` for a damaged record."""
        try:
            given = json.loads(data)
            known = {f.name: given[f.name] for f in fields(cls) if f.name in given}
            basis = None if known.get("basis") is None else Basis(**known["basis"])
            cuts = None if known.get("cuts") is None else tuple(int(cut) for cut in known["cuts"])
            return cls(**known | {"prompts": tuple(known["prompts"]), "basis": basis, "cuts": cuts})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SchemaError(f"{where} is damaged: run tam-dist resume to track its chunk again.") from error

    def same_content(self, other: CommitRecord) -> bool:
        """Whether both stand for the same masks, scores, prompts and state, whenever and however often written."""
        same = replace(self, revision=other.revision, time=other.time, stored=other.stored)
        same = replace(same, edition=other.edition, agreeing=other.agreeing, agreeing_back=other.agreeing_back)
        same = replace(same, changed=other.changed)
        return same == other


def labels_digest(labels: LabelArray) -> str:
    """SHA-256 (hex) of dtype, shape and content of one chunk's labels: equal digests, equal masks.

    >>> a = np.zeros((1, 2, 3), np.uint8)
    >>> labels_digest(a) == labels_digest(a.copy()), labels_digest(a) == labels_digest(a.reshape(1, 3, 2))
    (True, False)
    """
    return _digest(labels)


def scores_digest(quality: FloatArray, origin: UInt8Array) -> str:
    """SHA-256 (hex) of one chunk's quality and origin."""
    return _digest(quality, origin)


def _digest(*arrays: np.ndarray) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


class CommitLog:
    """The records of one project. Reads go to the storage each time, so that a reader sees a writer in another process."""

    def __init__(self, project: Location) -> None:
        self._folder = project / COMMITS

    def committed(self) -> frozenset[int]:
        """Indices of the chunks whose masks are whole and final as of now."""
        names = self._folder.children()
        return self._indices(names, _RECORD) - self._indices(names, _MARKER)

    def rewriting(self) -> frozenset[int]:
        """Chunks whose rewriting was begun and not ended."""
        return self._indices(self._folder.children(), _MARKER)

    def recorded(self) -> frozenset[int]:
        """Chunks that have a record, being rewritten or not."""
        return self._indices(self._folder.children(), _RECORD)

    def get(self, chunk: int) -> CommitRecord | None:
        """Raises :class:`SchemaError` where the record is damaged."""
        location = self._folder / _name(chunk, _RECORD)
        data = location.read()
        return None if data is None else CommitRecord.from_json(data, location)

    def read_all(self, chunks: Collection[int]) -> dict[int, CommitRecord | None]:
        """The records of ``chunks``, None where one is missing or damaged."""
        names = {chunk: _name(chunk, _RECORD) for chunk in sorted(chunks)}
        return {
            chunk: None if data is None else _readable(data, self._folder / name)
            for (chunk, name), data in zip(names.items(), self._folder.read_many(list(names.values())), strict=True)
        }

    def put(self, record: CommitRecord) -> None:
        """Raises :class:`StorageError`."""
        (self._folder / _name(record.chunk, _RECORD)).write(json.dumps(asdict(record)).encode())

    def remove(self, chunk: int) -> None:
        """From here on the chunk is not committed."""
        (self._folder / _name(chunk, _RECORD)).remove()

    def begin_rewrite(self, chunk: int) -> None:
        (self._folder / _name(chunk, _MARKER)).write(b"")

    def end_rewrite(self, chunk: int) -> None:
        (self._folder / _name(chunk, _MARKER)).remove()

    @staticmethod
    def _indices(names: list[str], suffix: str) -> frozenset[int]:
        stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
        return frozenset(int(stem) for stem in stems if stem.isdigit())


def _readable(data: bytes, where: Location) -> CommitRecord | None:
    try:
        return CommitRecord.from_json(data, where)
    except SchemaError:
        return None


def _name(chunk: int, suffix: str) -> str:
    return f"{chunk:08d}{suffix}"

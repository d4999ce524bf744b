"""The arrays of a project, ``masks.zarr`` (zarr v3): labels, quality, origin and presentation times of every frame.

One shard of ``labels`` and one chunk of ``quality`` and ``origin`` hold exactly one chunk of frames and are written whole by
the project's one writer: two writers in one shard lose frames without an error (measured: 14 to 42 of 64).
A frame never written reads as background, NaN and ``UNTRACKED``; whether it was tracked is what commit records say.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import numpy as np
import zarr
from numcodecs.zstd import Zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from storage.encoding import FLAT, LEVEL, STORE_EMPTY, encode_rows, label_layout
from storage.location import Location, storage_errors
from storage.ownership import MASKS_MARK, check_masks_replaceable
from storage.stores import SnapshotStore
from tam_dist.errors import ProjectError, SchemaError
from tam_dist.types import EncodedLabels, FloatArray, LabelArray, UInt8Array

MASKS = "masks.zarr"
_MAX_UINT8_OBJECTS = 254
# Columns of one quality chunk: wider than most K ever gets, so that a new object changes the array's metadata alone.
_COLUMNS = 256
_SCORE_ROWS_PER_READ = 4096
_RESTORE = "restore it from a copy or start the project again"
_REDO = "remove the chunk's record in commits/ and run tam-dist resume"

# What zarr and its codecs raise for damaged content.
_DAMAGE = (ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError)

Rows = TypeVar("Rows", bound=np.ndarray)
#: Frames to read: one, a slice, numbers (negative ones count from the end), or a boolean for each frame.
FrameIndex = int | slice | Sequence[int] | Sequence[bool] | NDArray[np.integer[Any]] | NDArray[np.bool_]


class FrameRows(Generic[Rows]):
    """Rows of an array by frame, read when asked for, with NumPy's meaning along the first axis: ``rows[7]``, ``rows[-1]``,
    ``rows[10:20]``, ``rows[[3, 9]]``, ``rows[quality < 0.5]``.

    Each chunk of frames comes from one version of its shard, whatever a writer does meanwhile.
    """

    def __init__(self, open_array: Callable[[], zarr.Array[Any]], read: Callable[..., Any], rows_per_read: int) -> None:
        self._open = open_array
        self._read = read
        self._rows_per_read = rows_per_read

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._open().shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._open().dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: FrameIndex) -> Rows:
        """An int gives one row without the frame axis, anything else a row per frame; booleans choose, one for each frame.
        Raises :class:`IndexError`, :class:`StorageError`, and :class:`SchemaError` where the stored data are damaged.
        """
        array = self._open()
        everything = range(array.shape[0])
        if isinstance(frames, int | np.integer) and not isinstance(frames, bool):
            frame = everything[int(frames)]
            return cast(Rows, self._read(array, frame, frame + 1)[0])
        wanted = everything[frames] if isinstance(frames, slice) else [everything[f] for f in _chosen(frames, len(everything))]
        out = np.empty((len(wanted), *array.shape[1:]), array.dtype)
        at = 0
        for first, last in _runs(wanted, self._rows_per_read):
            out[at : at + last - first] = self._read(array, first, last)
            at += last - first
        return cast(Rows, out)


class MaskStore:
    """``labels`` uint8 or uint16 (T, H, W), ``quality`` float32 (T, K), ``origin`` uint8 (T, K), ``pts`` int64 (T,)."""

    def __init__(self, project: Location, *, write: bool) -> None:
        """Opens existing arrays. Raises :class:`SchemaError` where they are missing or damaged."""
        self._location = project / MASKS
        with self._guard("Opening"):
            self._snapshot = SnapshotStore(self._location.zarr_store(read_only=True))
            self._reader = zarr.open_group(self._snapshot, mode="r", zarr_format=3, use_consolidated=False)
            self._labels = self._array(self._reader, "labels")
            self._writer = self._open_for_writing() if write else None
        self._reading = threading.Lock()
        self.chunk_size = int((self._labels.shards or self._labels.chunks)[0])
        self.labels: FrameRows[LabelArray] = FrameRows(lambda: self._labels, self._read, self.chunk_size)
        self.quality: FrameRows[FloatArray] = FrameRows(
            lambda: self._reopen("quality"), self._read_scores, _SCORE_ROWS_PER_READ
        )
        self.origin: FrameRows[UInt8Array] = FrameRows(lambda: self._reopen("origin"), self._read_scores, _SCORE_ROWS_PER_READ)
        self._columns = self.object_count if write else 0

    @classmethod
    def create(
        cls, project: Location, shape: tuple[int, int, int], *, chunk_size: int, objects: int, pts: NDArray[np.int64]
    ) -> MaskStore:
        """Make the arrays for ``shape`` = (T, H, W) and K = ``objects``, in place of any that are there."""
        frames, height, width = shape
        if pts.shape != (frames,):
            raise ValueError(f"pts must have shape ({frames},), not {pts.shape}")
        dtype = np.uint8 if objects <= _MAX_UINT8_OBJECTS else np.uint16
        common: dict[str, Any] = {"compressors": ZstdCodec(level=LEVEL), "chunk_key_encoding": FLAT}
        check_masks_replaceable(project / MASKS)
        with storage_errors("Writing", project / MASKS):
            store = (project / MASKS).zarr_store(read_only=False)
            group = zarr.create_group(store, overwrite=True, zarr_format=3, attributes=dict(MASKS_MARK))
            layout = label_layout(chunk_size, height, width)
            group.create_array("labels", shape=shape, dtype=dtype, dimension_names=("frame", "y", "x"), **layout)
            scores: tuple[tuple[str, Any, float], ...] = (("quality", np.float32, np.nan), ("origin", np.uint8, 0))
            for name, kind, fill in scores:
                group.create_array(
                    name,
                    shape=(frames, objects),
                    dtype=kind,
                    chunks=(chunk_size, _COLUMNS),
                    fill_value=fill,
                    dimension_names=("frame", "object"),
                    **common,
                )
            group.create_array("pts", shape=(frames,), dtype=np.int64, chunks=(frames,), dimension_names=("frame",), **common)
            cast("zarr.Array[Any]", group["pts"])[:] = pts
        return cls(project, write=True)

    @property
    def object_count(self) -> int:
        return self.quality.shape[1]

    @property
    def pts(self) -> NDArray[np.int64]:
        """int64 (T,), in the source's time base."""
        array = self._array(self._reader, "pts")
        return cast("NDArray[np.int64]", self._read(array, 0, array.shape[0]))

    def write(self, start: int, labels: EncodedLabels, quality: FloatArray, origin: UInt8Array) -> str:
        """Write one whole chunk from frame ``start``; labels first, then the scores. Durable when it returns. Its
        :meth:`stored_digest`.

        Fewer score columns than K leave the others untracked. Raises :class:`StorageError`.
        """
        self._writer_group()
        chunk = start // self.chunk_size
        (self._location / "labels" / f"c.{chunk}.0.0").write(labels.shard)
        sha = hashlib.sha256(labels.shard)
        for name, rows, fill in (("quality", quality, np.nan), ("origin", origin, 0)):
            parts = encode_rows(rows, (self.chunk_size, _COLUMNS), self._columns, fill)
            for column, part in enumerate(parts):
                (self._location / name / f"c.{chunk}.{column}").write(part)
                sha.update(part)
        return sha.hexdigest()

    def grow(self, objects: int) -> None:
        """Make room for ``objects`` columns; earlier frames read as untracked there. Raises as :meth:`check_room`."""
        self.check_room(objects)
        writer = self._writer_group()
        with storage_errors("Writing", self._location):
            for name in ("quality", "origin"):
                array = self._array(writer, name)
                if array.shape[1] < objects:
                    array.resize((array.shape[0], objects))
            self._writer = self._open_for_writing()
        self._columns = max(self._columns, objects)

    def check_room(self, objects: int) -> None:
        """Raises :class:`ProjectError` where the label maps' one byte a pixel cannot hold so many."""
        if objects > _MAX_UINT8_OBJECTS and self._labels.dtype == np.uint8:
            raise ProjectError(
                f"{self._location} has room for {_MAX_UINT8_OBJECTS} objects, not {objects}: "
                "start a new project that names them all."
            )

    def stored_digest(self, chunk: int) -> str | None:
        """SHA-256 (hex) of what is stored of a chunk, as it is stored; None where a part of it is missing.

        A hundredth of the work of reading the masks: 16 frames of 1080p are 33 MB, and their shard 100 KB.
        """
        sha = hashlib.sha256()
        for array in ("labels", "quality", "origin"):
            folder = self._location / array
            # Scores lie in chunks of columns, of which there is one more for each 256 objects.
            columns = 1 if array == "labels" else -(-self.object_count // _COLUMNS)
            names = [f"c.{chunk}.0.0"] if array == "labels" else [f"c.{chunk}.{column}" for column in range(columns)]
            for content in folder.read_many(names):
                if content is None:
                    return None
                sha.update(content)
        return sha.hexdigest()

    def stored_chunks(self) -> frozenset[int]:
        """Indices of the chunks of which anything is stored."""
        names = [name for array in ("labels", "quality", "origin") for name in (self._location / array).children()]
        return frozenset(int(name.split(".")[1]) for name in names if name.startswith("c."))

    def remove(self, chunks: frozenset[int]) -> None:
        """Make the frames of ``chunks`` as if never written."""
        for array in ("labels", "quality", "origin"):
            folder = self._location / array
            for name in folder.children():
                if name.startswith("c.") and int(name.split(".")[1]) in chunks:
                    (folder / name).remove()

    def _open_for_writing(self) -> zarr.Group:
        return zarr.open_group(self._location.zarr_store(read_only=False), mode="r+", zarr_format=3, use_consolidated=False)

    def _writer_group(self) -> zarr.Group:
        if self._writer is None:
            raise ProjectError(f"{self._location} was opened for reading: open the project with write=True.")
        return self._writer

    def _reopen(self, name: str) -> zarr.Array[Any]:
        # Read anew each time: another process may have added an object.
        with self._guard("Reading"):
            array = self._array(self._reader, name)
            if array.ndim != 2 or array.shape[0] != self._labels.shape[0]:
                raise ValueError(f"{name} is not of the shape of labels")
            return array

    @staticmethod
    def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
        return cast("zarr.Array[Any]", group[name]).with_config(STORE_EMPTY)

    def _read(self, array: zarr.Array[Any], first: int, last: int) -> NDArray[Any]:
        with self._reading, self._guard(f"Reading frames {first} to {last - 1} of", _REDO):
            self._snapshot.forget()
            try:
                return np.asarray(array[first:last])
            finally:
                self._snapshot.forget()

    def _read_scores(self, array: zarr.Array[Any], first: int, last: int) -> NDArray[Any]:
        """What ``array[first:last]`` gives, decoded here: zarr spends 0.5 ms of CPU on a chunk, whatever its size, and the
        scores of a two-hour film lie in 10,000 small ones (measured: 5.6 s of CPU to list its worst frames).
        """
        height, width = array.chunks
        top, columns = first // height, max(1, -(-array.shape[1] // width))
        names = [f"c.{row}.{column}" for row in range(top, -(-last // height)) for column in range(columns)]
        whole = np.full((len(names) // columns * height, columns * width), array.fill_value, array.dtype)
        with self._guard(f"Reading frames {first} to {last - 1} of", _REDO):
            for n, content in enumerate((self._location / array.basename).read_many(names)):
                if content is not None:
                    y, x = n // columns * height, n % columns * width
                    chunk = np.frombuffer(Zstd().decode(content), array.dtype)
                    whole[y : y + height, x : x + width] = chunk.reshape(height, width)
        return whole[first - top * height : last - top * height, : array.shape[1]]

    @contextmanager
    def _guard(self, doing: str, remedy: str = _RESTORE) -> Iterator[None]:
        try:
            with storage_errors(doing, self._location):
                try:
                    yield
                except FileNotFoundError as error:  # the project is there, or nobody would look for its arrays
                    raise ValueError("its arrays are missing") from error
        except _DAMAGE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise SchemaError(f"{doing} {self._location} failed, it is damaged ({reason}): {remedy}.") from error


def _chosen(frames: Any, count: int) -> list[int]:
    """Numbers of frames, as NumPy understands an index array of one axis. Raises :class:`IndexError`.

    >>> _chosen([True, False, True], 3), _chosen(np.array([-1, 0]), 3), _chosen([], 3)
    ([0, 2], [-1, 0], [])
    """
    wanted = np.asarray(frames if isinstance(frames, np.ndarray) else list(frames) if np.iterable(frames) else frames)
    if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "biu"):
        raise IndexError("frames are chosen by an integer, a slice, a sequence of integers, or a boolean for each frame")
    if wanted.dtype.kind == "b":
        if len(wanted) != count:
            raise IndexError(f"{len(wanted)} booleans do not choose among {count} frames")
        wanted = np.flatnonzero(wanted)
    return [int(frame) for frame in wanted]


def _runs(frames: Sequence[int], grid: int) -> list[tuple[int, int]]:
    """Runs of consecutive frames as (first, last + 1), cut at multiples of ``grid``.

    >>> _runs([1, 2, 3, 4, 9], 4)
    [(1, 4), (4, 5), (9, 10)]
    """
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] and frame % grid:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((frame, frame + 1))
    return runs

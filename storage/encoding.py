"""Masks as they are stored, made without the project: so any process may do it for the one that writes."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import zarr
from numcodecs.zstd import Zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from storage.commits import labels_digest
from tam_dist.types import EncodedLabels, LabelArray

#: Of zstd.
LEVEL = 3
#: How many characters stand between array and chunk: the default "/" makes two folders for each of the 10,000 shards of a film.
FLAT: Any = {"name": "default", "separator": "."}
#: A shard of background only is stored all the same: else a lost shard would look like it.
STORE_EMPTY: Any = {"write_empty_chunks": True}


def label_layout(chunk_size: int, height: int, width: int) -> dict[str, Any]:
    """How a project's array of label maps is cut and compressed: a shard a chunk, a part of it a frame."""
    return {
        "chunks": (1, height, width),
        "shards": (chunk_size, height, width),
        "compressors": ZstdCodec(level=LEVEL),
        "fill_value": 0,
        "chunk_key_encoding": FLAT,
    }


def encode_labels(labels: LabelArray, chunk_size: int) -> EncodedLabels:
    """A chunk's labels (n, H, W), n <= ``chunk_size``, as a shard of the project's array: the bytes that zarr makes of them."""
    store = MemoryStore()
    layout = label_layout(chunk_size, *labels.shape[1:])
    array = zarr.create_array(store, shape=labels.shape, dtype=labels.dtype, **layout)
    array.with_config(STORE_EMPTY)[:] = labels
    shard = sync(store.get("c.0.0.0", default_buffer_prototype()))
    assert shard is not None
    return EncodedLabels(shard.to_bytes(), labels_digest(labels), int(labels.max()), labels.dtype.str, labels.shape)


def encode_rows(rows: NDArray[Any], shape: tuple[int, int], columns: int, fill: float) -> list[bytes]:
    """``rows`` (n, k) of a chunk's scores, as the chunks of ``shape`` that an array of so many ``columns`` has of them; what
    has no value is ``fill``. Without zarr, which takes milliseconds for 100 bytes.
    """
    height, width = shape
    count = max(1, -(-columns // width))
    whole = np.full((height, count * width), fill, rows.dtype)
    whole[: len(rows), : rows.shape[1]] = rows
    parts = (np.ascontiguousarray(whole[:, n * width : (n + 1) * width]) for n in range(count))
    return [cast(bytes, Zstd(LEVEL).encode(part)) for part in parts]

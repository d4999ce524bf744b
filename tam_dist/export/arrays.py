"""NumPy files that can be memory-mapped: ``numpy.load("labels.npy", mmap_mode="r")``."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from tam_dist.export.footage import Footage


def write_numpy(footage: Footage, folder: Path) -> None:
    """``labels.npy`` uint8 or uint16 (N, H, W), a pixel's value its object's id; ``frames.npy`` int64 (N,), the source's frame
    numbers; ``quality.npy`` float32 (N, K), NaN where not tracked, and ``ids.npy`` int64 (K,), the objects of its columns.
    """
    video, ids = footage.video, np.array([o.id for o in footage.objects], np.int64)
    np.save(folder / "frames.npy", np.asarray(footage.numbers, np.int64))
    np.save(folder / "ids.npy", ids)
    shape = (len(footage), video.height, video.width)
    labels, quality = folder / "labels.npy", folder / "quality.npy"
    with labels.open("wb") as masks, quality.open("wb") as scores:
        _header(masks, shape, footage.dtype)
        _header(scores, (len(footage), len(ids)), np.dtype(np.float32))
        for frame in footage:
            masks.write(np.ascontiguousarray(frame.labels).data)
            scores.write(np.ascontiguousarray(frame.quality[ids - 1]).data)


def _header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, fields)

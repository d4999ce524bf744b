"""Small encoded clips for corpora."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.tiny import HEIGHT, WIDTH, moving_square

#: Frames. The longest is of six chunks: a run stopped at its first masks can't have tracked them all, as writes are credited.
LENGTHS = (48, 9, 8, 3)


def encode_clip(path: Path, frame_count: int, seed: int = 3) -> Path:
    """H.264 in MP4, its index at the end."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "12", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, image in enumerate(moving_square(frame_count, seed=seed)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def encode_sound(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, 16000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, int], Path]:
    """``clip(path, n)``: a small video at ``path``, of one of four lengths and contents."""
    folder = tmp_path_factory.mktemp("originals")
    originals = [encode_clip(folder / f"{n}.mp4", n, seed) for seed, n in enumerate(LENGTHS)]

    def copy(path: Path, number: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(originals[number % len(originals)], path))

    return copy

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tam_dist.errors import StorageError
from tam_dist.inspection.plot import Lane, draw_lanes, worst_of
from tam_dist.inspection.saving import save_figure
from tam_dist.types import Origin


def lane(frames: int) -> Lane:
    rng = np.random.default_rng(0)
    origin = np.full(frames, Origin.PROPAGATED, np.uint8)
    origin[5:9] = Origin.ABSENT
    origin[12] = Origin.REFINED
    return Lane("cat", (1.0, 0.3, 0.2), rng.random(frames).astype(np.float32), origin, (0, 20))


def test_a_plot_is_a_picture_whatever_there_is_to_show(tmp_path: Path) -> None:
    untracked = Lane("dog", (0, 1, 0), np.full(30, np.nan, np.float32), np.zeros(30, np.uint8), ())
    for n, lanes in enumerate(([], [untracked], [lane(30), untracked], [lane(100_000)])):
        file = save_figure(draw_lanes(lanes, [3, 17], title="a.mp4", fps=25.0), tmp_path / f"{n}.png")
        with Image.open(file) as image:
            assert image.width > 1000
            assert len(np.unique(np.asarray(image.convert("L")))) > 2  # something is drawn
    with pytest.raises(StorageError, match="nowhere"):
        save_figure(draw_lanes([], [], title="", fps=25.0), tmp_path / "nowhere" / "a.png")


def test_a_dip_of_one_frame_is_not_lost_in_a_long_video() -> None:
    quality = np.ones(100_000, np.float32)
    quality[54_321] = 0.1
    assert worst_of(quality, 1600)[1].min() == np.float32(0.1)

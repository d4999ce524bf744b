"""What a correction would give is shown without anything changing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.errors import PromptError
from tam_dist.steering import Previewer
from tam_dist.types import ObjectQuery, SegmentedMask, UInt8Array
from tests.tiny import square


class Recorder:
    """Stands for SAM: remembers what it is asked, and with which key."""

    def __init__(self) -> None:
        self.asked: list[tuple[ObjectQuery, object, UInt8Array]] = []

    def segment(self, image: UInt8Array, queries: list[ObjectQuery], *, frame_key: object = None) -> list[SegmentedMask]:
        self.asked += [(query, frame_key, image) for query in queries]
        mask = np.zeros(image.shape[:2], bool)
        return [SegmentedMask(q.object_id, mask, 0.5, np.zeros((16, 16), np.float32)) for q in queries]


def points(*given: tuple[float, float, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p[:2] for p in given], np.float32).reshape(-1, 2), np.array([p[2] for p in given], np.int64)


def test_a_preview_asks_what_tracking_would(painted: str, store: ProjectStore) -> None:
    sam = Recorder()
    before = store.entries()
    with Previewer(painted, sam) as previewer:  # type: ignore[arg-type]
        previewer.preview(20, "dog", *points((50, 30, 1)))
        query, key, image = sam.asked[-1]
        assert (query.object_id, key, image.shape) == (2, 20, (48, 64, 3))
        assert query.mask_logits is not None
        assert np.array_equal(query.mask_logits > 0, store.labels[20] == 2)
        previewer.preview(0, "dog", *points((20, 40, 1)))
        query = sam.asked[-1][0]
        assert query.mask_logits is not None  # the mask that was given there
        assert np.array_equal(query.mask_logits > 0, square(40, 30))
        previewer.preview(20, "owl", *points((40, 30, 1)))
        assert sam.asked[-1][0].object_id == 3
        assert sam.asked[-1][0].mask_logits is None
        with pytest.raises(PromptError, match="There is no frame 44"):
            previewer.preview(44, "dog", *points((1, 1, 1)))
        with pytest.raises(PromptError, match="outside the picture"):
            previewer.preview(4, "dog", *points((64, 1, 1)))
    assert store.entries() == before


def test_clicks_given_before_count_too(painted: str) -> None:
    sam = Recorder()
    tam_dist.correct(painted, [tam_dist.click("cat", 20, 6, frame=20)])
    with Previewer(painted, sam) as previewer:  # type: ignore[arg-type]
        previewer.preview(20, "cat", *points((5, 6, 0)))
    asked = [query.points.tolist() for query, _, _ in sam.asked]
    assert asked == [[[20, 6]], [[20, 6]], [[5, 6]], [[5, 6]]]  # one by one, as tracking asks, each in two ways


def test_it_is_what_the_correction_gives(tracked: Path, tmp_path: Path) -> None:
    import shutil

    project = tmp_path / "p"
    shutil.copytree(tracked, project)
    with Previewer(project) as previewer:
        shown = previewer.preview(20, "owl", *points((40, 30, 1)))
    assert shown.mask.shape == (48, 64)
    assert 0 <= shown.score <= 1

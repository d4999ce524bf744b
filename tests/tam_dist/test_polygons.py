from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tam_dist.errors import PromptError
from tam_dist.export.labelme import polygons
from tam_dist.polygons import polygon_mask
from tam_dist.prompt_files import read_prompt_file
from tam_dist.types import Mask

BLOB = np.zeros((40, 60), np.uint8)
cv2.circle(BLOB, (20, 18), 11, 1, -1)
cv2.rectangle(BLOB, (40, 5), (52, 30), 1, -1)


def test_outlines_come_back_as_the_masks_they_were_drawn_around() -> None:
    outlines = polygons(BLOB > 0)
    assert len(outlines) == 2
    np.testing.assert_array_equal(polygon_mask(outlines, [60, 40], "").to_array(), BLOB > 0)


def test_a_prompt_file_takes_polygons(tmp_path: Path) -> None:
    (outline,) = polygons(BLOB[:, :35] > 0)
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps([{"object": "cat", "frame": 3, "polygon": outline, "size": [60, 40]}]))
    (prompt,) = read_prompt_file(file)
    assert (prompt.frame, prompt.object_name) == (3, "cat")
    assert isinstance(prompt.data, Mask)
    np.testing.assert_array_equal(prompt.data.to_array()[:, :35], BLOB[:, :35] > 0)


@pytest.mark.parametrize(
    ("polygon", "size", "word"),
    [
        ([[0, 0], [5, 0], [5, 5]], None, "size"),
        ([[0, 0], [5, 0], [5, 5]], [60], "size"),
        ([[0, 0], [5, 0], [5, 5]], [0, 40], "size"),
        ([[0, 0], [5, 0], [5, 5]], [10**9, 10**9], "size"),
        ([[0, 0], [5, 0]], [60, 40], "three"),
        ([[0, 0], [5, 0], [5]], [60, 40], "three"),
        ([[0, 0], [5, 0], ["5", 5]], [60, 40], "three"),
        ("round", [60, 40], "three"),
        ([], [60, 40], "three"),
        ([[0, 0], [60, 0], [5, 5]], [60, 40], "outside"),
        ([[0, 0], [float("nan"), 0], [5, 5]], [60, 40], "three"),
    ],
)
def test_what_is_no_polygon_is_named(polygon: object, size: object, word: str) -> None:
    with pytest.raises(PromptError, match=word) as caught:
        polygon_mask(polygon, size, "prompts.json, prompt 2")
    assert str(caught.value).startswith("prompts.json, prompt 2")

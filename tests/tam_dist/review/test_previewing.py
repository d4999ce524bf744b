from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from storage.manifest import MANIFEST
from tam_dist.review import runs as run_lengths
from tam_dist.review.app import build_app
from tam_dist.review.pane import Pane
from tests.tam_dist.review.conftest import make_pane
from tests.tiny import HEIGHT, WIDTH


@pytest.fixture
def tiny_pane(runs: Path, tiny_settings: tuple[str, ...]) -> Iterator[Pane]:
    """Of a project whose SAM is the tiny one."""
    sam = next(each for each in tiny_settings if each.startswith("models.sam=")).removeprefix("models.sam=")
    manifest = runs / "film" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"sam": "embedded"', f'"sam": "{sam}"'))
    pane = make_pane(runs)
    yield pane
    pane.close()


def test_a_preview_is_a_mask_and_changes_nothing(tiny_pane: Pane) -> None:
    (place,) = tiny_pane.places.projects()
    with TestClient(build_app(tiny_pane, page=False), base_url="http://localhost") as client:
        for body in (
            {"frame": 9, "object": "cat", "points": [[8, 8, 1]], "hover": True},
            {"frame": 9, "object": "cat", "points": [[8, 8, 1], [40, 30, 0]]},
            {"frame": 0, "object": "cat", "points": [[8, 8, 0]]},  # beside what was clicked there before
            {"frame": 0, "object": "cat", "points": [[8, 8, 1]], "replace": True},
            {"frame": 9, "object": "bird", "box": [4, 4, 30, 30]},
        ):
            answer = client.post(f"/api/p/{place.id}/preview", json=body)
            assert answer.status_code == 200, answer.text
            assert run_lengths.decode(answer.content)[0].shape == (HEIGHT, WIDTH)
            assert 0 <= float(answer.headers["x-score"]) <= 1
        assert client.post(f"/api/p/{place.id}/preview", json={"frame": 9}).status_code == 400
    assert len(tiny_pane.opener.get(place.id).prompts()) == 2

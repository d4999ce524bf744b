"""A corpus of three small videos, and the labels that every way to run it must give."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.corpus import CLIPS, Clip, write_videos
from tests.deploy.runs import labels, track_inline

#: Prompts that any of the clips takes.
PROMPTS = [{"object": "one", "frame": 0, "clicks": [[10, 12, 1]]}, {"object": "two", "frame": 4, "box": [4, 4, 20, 20]}]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    clips = [Clip(c.name, 6 * c.frames, c.height, c.width, c.kind) for c in CLIPS[:3]]  # long enough to be stopped halfway
    videos = write_videos(folder / "videos", clips)
    lines = [json.dumps({"video": str(path), "prompts": PROMPTS}) for path in videos.values()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "corpus.jsonl"


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tiny_settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The labels of a run without Ray."""
    out = tmp_path_factory.mktemp("inline")
    track_inline(corpus, out, tiny_settings)
    return labels(out)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for Ray, whose sockets' paths end where 107 characters do."""
    folder = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

"""Every export of a 20,000-frame project takes the memory of a short one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tam_dist.export.formats import FORMATS
from tests.benchmarks.export import make_project, measure

FRAMES = 20_000
#: What allocators and thread pools scatter. All labels of the video are 94 MiB, all its pictures 281.
ALLOWED_MIB = 24


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("long"), FRAMES, 64, 80)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_length(form: str, project: Path, tmp_path: Path) -> None:
    short, long = (measure(project, form, tmp_path, frames).peak for frames in (FRAMES // 20, FRAMES))
    assert long - short < ALLOWED_MIB

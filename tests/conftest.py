"""Fixtures that more than one package's tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.tiny import moving_square, write_frames, write_weights

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of golden vectors and evaluation data that lies beside a development checkout; not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the development data folder (golden vectors, DAVIS subset) beside the checkout; it is absent")
    return SHARED


@pytest.fixture(scope="session")
def tiny_settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings under which the real models run at toy size, with random weights."""
    return tuple(write_weights(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 44 frames, 64x48."""
    return write_frames(tmp_path_factory.mktemp("video") / "square", moving_square(44))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For torch on a busy machine, where threads that wait for each other take many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

"""Fixtures that more than one package's tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of golden vectors and evaluation data that lies beside a development checkout; not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the development data folder (golden vectors, DAVIS subset) beside the checkout; it is absent")
    return SHARED

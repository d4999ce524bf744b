"""Figures to files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from tam_dist.errors import StorageError


def save_figure(figure: Figure, path: Path) -> Path:
    """As PNG. Raises :class:`StorageError`."""
    try:
        figure.savefig(path, format="png", dpi=110, facecolor=figure.get_facecolor())
    except OSError as error:
        raise StorageError(f"Writing {path} failed: {error.strerror or error}.") from error
    return path

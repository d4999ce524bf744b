"""Track anything in long videos: SAM makes masks from clicks, XMem carries them, Ray spreads the work.

>>> import tam_dist
>>> sorted(tam_dist.__all__)[:4]
['Previewer', 'Project', 'absent', 'add_object']
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tam_dist.api import absent, box, click, mask, resume, track
    from tam_dist.project import Project
    from tam_dist.steering import (
        Previewer,
        add_object,
        correct,
        history,
        lock,
        redo,
        remove_object,
        rename_object,
        retrack,
        review_queue,
        undo,
        unlock,
        watch,
    )

# Torch's OpenMP threads spin while they wait for each other. Beside any other busy process (a decoder, a second actor)
# that burns the cores it waits for: a frame took 0.3 to 1.5 s instead of 0.1 s. Read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# MKL promises the same bits from run to run only in this mode. Without it the products of small matrices round differently
# with where in memory their operands lie, and with how many threads share them more often than in it; another process scored
# the same mask differently in the last digit. It costs nothing measurable. Read once, at MKL's first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"
__all__ = [
    "Previewer",
    "Project",
    "absent",
    "add_object",
    "box",
    "click",
    "correct",
    "history",
    "lock",
    "mask",
    "redo",
    "remove_object",
    "rename_object",
    "resume",
    "retrack",
    "review_queue",
    "track",
    "undo",
    "unlock",
    "watch",
]

_BASICS = ("absent", "box", "click", "mask", "resume", "track")
_HOMES = {"Project": "tam_dist.project"} | dict.fromkeys(_BASICS, "tam_dist.api")


def __dir__() -> list[str]:
    """Names that load at first use are there too."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Names load their module at first use: ``import tam_dist`` must not wait for torch, zarr and codecs."""
    if name not in __all__:
        raise AttributeError(f"module 'tam_dist' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "tam_dist.steering")), name)

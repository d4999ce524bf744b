"""What people ask of a project after it was begun, while it is tracked or later: corrections, objects, locks, undo.

Each call checks what is asked against the project, appends it to the prompt log, which makes it durable, tells the run under
way, and returns. Tracking where nobody runs is a step of its own: :func:`tam_dist.resume`.

>>> from tam_dist import click, correct, resume, undo                 # doctest: +SKIP
>>> correct("runs/cat", [click("cat", 300, 200, frame=120)]).live     # doctest: +SKIP
False
>>> resume("runs/cat")                                                # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tam_dist.steering.asking import Acknowledged
from tam_dist.steering.corrections import add_object, correct, remove_object, rename_object, retrack
from tam_dist.steering.history import HistoryEntry, history
from tam_dist.steering.locks import lock, unlock
from tam_dist.steering.suggestions import Suggestion, review_queue
from tam_dist.steering.undoing import redo, undo
from tam_dist.steering.watching import Asked, Change, ChunkTracked, StateChanged, watch

if TYPE_CHECKING:
    from tam_dist.steering.preview import Previewer

__all__ = [
    "Acknowledged",
    "Asked",
    "Change",
    "ChunkTracked",
    "HistoryEntry",
    "Previewer",
    "StateChanged",
    "Suggestion",
    "add_object",
    "correct",
    "history",
    "lock",
    "redo",
    "remove_object",
    "rename_object",
    "retrack",
    "review_queue",
    "undo",
    "unlock",
    "watch",
]


def __getattr__(name: str) -> Any:
    """What needs torch loads it at first use."""
    if name != "Previewer":
        raise AttributeError(f"module 'tam_dist.steering' has no attribute {name!r}")
    return import_module("tam_dist.steering.preview").Previewer

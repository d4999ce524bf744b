"""What people ask of a project after it was begun, while it is tracked or later: corrections, objects, locks, undo.

Each call checks what is asked against the project, appends it to the prompt log, which makes it durable, tells the run under
way, and returns. Tracking where nobody runs is a step of its own: :func:`tam_dist.resume`.

>>> from tam_dist import click, correct, resume, undo                 # doctest: +SKIP
>>> correct("runs/cat", [click("cat", 300, 200, frame=120)]).live     # doctest: +SKIP
False
>>> resume("runs/cat")                                                # doctest: +SKIP
"""

from tam_dist.steering.asking import Acknowledged
from tam_dist.steering.corrections import add_object, correct, remove_object, rename_object, retrack
from tam_dist.steering.locks import lock, unlock
from tam_dist.steering.undoing import redo, undo

__all__ = [
    "Acknowledged",
    "add_object",
    "correct",
    "lock",
    "redo",
    "remove_object",
    "rename_object",
    "retrack",
    "undo",
    "unlock",
]

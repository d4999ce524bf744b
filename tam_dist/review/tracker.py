"""The process that tracks for the pane: its libraries are loaded before a person's correction has to wait for them.

It reads a project's location a line from standard input, as JSON, tracks what is due there as ``tam-dist resume`` does, and
answers with the exit code on standard output. When the pane is gone it finishes what it is at and ends; so it does when
nothing was asked for a while.
"""

from __future__ import annotations

import json
import os
import select
import sys

from tam_dist.cli import run

#: Seconds without a question after which it gives its memory back.
IDLE = 600.0


def main(options: list[str]) -> None:
    """``options`` of ``tam-dist resume`` for all projects."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the command says goes with its errors
    import tam_dist.workers.propagator  # noqa: F401 (and with it torch)

    while select.select([sys.stdin], [], [], IDLE)[0] and (line := sys.stdin.readline()):
        code = run(["resume", json.loads(line), *options])
        print(int(code), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""``tam-dist verify``: whether a project's masks are still those that were committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import result, result_json


@app.command()
def verify(
    project: Annotated[str, typer.Argument(help="The project's folder or URL.")],
    as_json: Json = False,
) -> int:
    """Compare everything a project stores with its records; changes nothing. Exit code 1 where something is lost or garbled.

    What is damaged or stale, tam-dist resume tracks again.
    """
    from dataclasses import asdict

    from tam_dist.errors import ExitCode
    from tam_dist.integrity import verify as check

    verdict = check(project)
    if as_json:
        result_json(asdict(verdict) | {"sound": verdict.sound, "done": verdict.done})
    else:
        result(f"{verdict.where}: {verdict.chunks} chunks of {verdict.chunk_size} frames")
        kinds = (("damaged", verdict.damaged), ("stale", verdict.stale), ("not tracked", verdict.missing))
        for name, chunks in kinds:
            if chunks:
                result(f"{name:<14} {len(chunks)} chunks: {_ranges(chunks)}")
        result("all masks are as committed" if verdict.sound else f"track them again with: tam-dist resume {verdict.where}")
    return ExitCode.DONE if verdict.sound else ExitCode.FAILED


def _ranges(chunks: Sequence[int]) -> str:
    """
    >>> _ranges([1, 2, 3, 7])
    '1-3, 7'
    """
    runs: list[list[int]] = []
    for chunk in chunks:
        if runs and chunk == runs[-1][-1] + 1:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)

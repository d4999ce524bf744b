"""``tam-dist verify``: whether a project's masks are still those that were committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import result, result_json, say


@app.command()
def verify(
    project: Annotated[str, typer.Argument(help="The project's folder or URL.")],
    replay: Annotated[
        bool, typer.Option("--replay", help="Also track everything again beside it, from prompt log and track record.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Compare everything a project stores with its records; changes nothing. Exit code 1 where something is lost or garbled.

    What is damaged or stale, tam-dist resume tracks again. With --replay the masks must also be, to the bit, what the project's
    log and record give on this machine.
    """
    from dataclasses import asdict

    from tam_dist.errors import ExitCode
    from tam_dist.integrity import verify as check

    verdict = check(project)
    differing = _replayed(project) if replay and verdict.sound else None
    if as_json:
        found = asdict(verdict) | {"sound": verdict.sound, "done": verdict.done}
        result_json(found if differing is None else found | {"differing": differing})
    else:
        result(f"{verdict.where}: {verdict.chunks} chunks of {verdict.chunk_size} frames")
        kinds = (("damaged", verdict.damaged), ("stale", verdict.stale), ("not tracked", verdict.missing))
        for name, chunks in kinds:
            if chunks:
                result(f"{name:<14} {len(chunks)} chunks: {_ranges(chunks)}")
        result("all masks are as committed" if verdict.sound else f"track them again with: tam-dist resume {verdict.where}")
        if differing is not None:
            result(f"other masks    chunks {_ranges(differing)}" if differing else "tracked again, all masks are the same")
    return ExitCode.DONE if verdict.sound and not differing else ExitCode.FAILED


def _replayed(project: str) -> tuple[int, ...]:
    from tam_dist.replay import differing_chunks

    return differing_chunks(project, lambda done, total: say(f"tracked again: {done}/{total} frames"))


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

"""``tam-dist weights``: which models there are, where their files are, and fetching them."""

from __future__ import annotations

from typing import Annotated

import typer

from tam_dist.cli.app import Json, app
from tam_dist.cli.output import is_terminal, result, result_json, say

weights = typer.Typer(help="The models' weight files.", no_args_is_help=True)
app.add_typer(weights, name="weights")


@weights.command("list")
def list_weights(as_json: Json = False) -> None:
    """The published weights that tam-dist knows, and which of them are here."""
    from tam_dist.models.checkpoints import REGISTRY

    rows = [
        {"name": w.name, "kind": w.kind, "bytes": w.size, "path": str(w.path) if w.path.exists() else None, "url": w.url}
        for w in REGISTRY.values()
    ]
    if as_json:
        result_json(rows)
        return
    for row in rows:
        size = "" if row["bytes"] is None else f"{int(str(row['bytes'])) / 1e6:7.0f} MB"
        result(f"{row['name']:<14} {row['kind']:<5} {size:>10}  {row['path'] or 'not here'}")


@weights.command()
def pull(
    name: Annotated[str, typer.Argument(help="A name from the list, or official: all that models.preset=official needs.")],
    mirror: Annotated[
        str | None, typer.Option(help="A folder or base URL that has the files, instead of the publishers'.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Take it from here or from a mirror folder; never from the network.")
    ] = False,
) -> None:
    """Fetch weights, continuing a broken download, and verify them."""
    from tam_dist.models import checkpoints

    for each in checkpoints.OFFICIAL if name == "official" else (name,):
        path = checkpoints.pull(each, mirror=mirror, offline=offline, progress=_Progress(each))
        result(str(path))


@weights.command()
def path(
    name: Annotated[str, typer.Argument(help="embedded, a name from the list, or a file.")],
    kind: Annotated[str | None, typer.Option(metavar="xmem|sam", help="Of which model; needed for embedded.")] = None,
) -> None:
    """Where a weight file is; an error says how to get it where it is not here."""
    from tam_dist.errors import ConfigError
    from tam_dist.models.checkpoints import REGISTRY, resolve

    chosen = kind or (REGISTRY[name].kind if name in REGISTRY else "xmem")
    if chosen not in ("xmem", "sam"):
        raise ConfigError(f"--kind must be xmem or sam, not {chosen!r}.")
    result(str(resolve(name, "sam" if chosen == "sam" else "xmem")))


@weights.command()
def verify(name: Annotated[str, typer.Argument(help="A name from the list, or a file.")]) -> None:
    """Check a weight file against what its publisher states; any other file for damage."""
    from tam_dist.models.checkpoints import REGISTRY, resolve
    from tam_dist.models.checkpoints import verify as verify_file

    entry = REGISTRY.get(name)
    file = resolve(name, entry.kind if entry is not None else "xmem")
    result(f"{file}: {verify_file(file, entry)}")


class _Progress:
    """Prints each further tenth of a download."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tenth = -1

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth != self._tenth:
            self._tenth = tenth
            say(f"{self._name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB" + ("" if is_terminal() else "."))

"""Pack the training data: ``python -m tam_dist.training.prepare --cache DIR --data DIR --repositories DIR [NAME …]``.

``--data`` holds the project's own training folders; ``--repositories`` one folder ``owner+name`` (or ``owner/name``) for
each public repository in :mod:`tam_dist.training.sources`, its git directory or a checkout, directly or in a folder
``repo``. Whatever is there and not packed yet is packed; what is missing is named. The cache belongs outside the checkout:
nothing of the data may enter it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tam_dist.errors import ConfigError, TamDistError
from tam_dist.training.packed import PackedPictures, pack
from tam_dist.training.sources import SOURCES, Source, refuse_evaluation_data
from tam_dist.training.trees import open_tree

SHORT_SIDE = 320


def locate(source: Source, data: Path, repositories: Path) -> Path | None:
    """Where ``source`` lies, or None."""
    if source.place.startswith("./"):
        folder = data / source.place
        return folder if folder.is_dir() else None
    for name in (source.place.replace("/", "+"), source.place):
        for folder in (repositories / name / "repo", repositories / name):
            if folder.is_dir():
                return folder
    return None


def prepare(source: Source, place: Path, cache: Path, short_side: int) -> PackedPictures:
    """Pack one source into ``cache``/name and note its terms and counts there."""
    groups = refuse_evaluation_data(source.read(open_tree(place)))
    packed = pack(groups, cache / source.name, short_side=short_side)
    objects = sum(len(kinds) for kinds in packed.kinds)
    about = {
        "place": source.place,
        "kind": source.kind,
        "terms": source.terms,
        "groups": len(packed.names),
        "pictures": len(packed),
        "objects": objects,
    }
    (cache / source.name / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return packed


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tam_dist.training.prepare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder to write to, outside the checkout")
    parser.add_argument("--data", type=Path, required=True, help="folder with train_images and davis2016_train")
    parser.add_argument("--repositories", type=Path, required=True, help="folder with the public repositories")
    parser.add_argument("--short-side", type=int, default=SHORT_SIDE, help="pictures are reduced to this")
    parser.add_argument("--again", action="store_true", help="pack what is packed already, too")
    parser.add_argument("names", nargs="*", help="only these sources")
    options = parser.parse_args(arguments)
    try:
        unknown = sorted(set(options.names) - {source.name for source in SOURCES})
        if unknown:
            raise ConfigError(f"There is no training source {unknown[0]}; known: {', '.join(s.name for s in SOURCES)}.")
        for source in SOURCES:
            if options.names and source.name not in options.names:
                continue
            if (options.cache / source.name / "about.json").exists() and not options.again:
                continue
            place = locate(source, options.data, options.repositories)
            if place is None:
                sys.stderr.write(f"{source.name}: {source.place} is not there, left out\n")
                continue
            packed = prepare(source, place, options.cache, options.short_side)
            sys.stderr.write(f"{source.name}: {len(packed)} pictures in {len(packed.names)} groups\n")
    except TamDistError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

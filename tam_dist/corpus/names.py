"""The folder of each video's project: readable, unique, and the same in every run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tam_dist.corpus.lines import MAX_NAME_BYTES, RESERVED, BrokenLine, CorpusLine, Line, stem


def name_projects(lines: Sequence[Line], owner: Callable[[str], str | None]) -> tuple[dict[str, CorpusLine], list[BrokenLine]]:
    """The lines by their project's name, and the broken ones, to which those are added that ask for a video twice.

    A video's project has the name its line gives, else that of its file, and where other videos of the corpus have the
    same one, a few digits of its path's hash as well. So a name depends on no line's place. ``owner`` says of which video
    there is a project of that name already, None if of none: that video keeps it though others of the same name come, and
    keeps the longer name though it is alone now, as in a corpus of what is left to do.

    >>> a, b = (CorpusLine(n, f"/{d}/cat.mp4", f"{d}/cat.mp4", ()) for n, d in enumerate("ab"))
    >>> list(name_projects([a], lambda name: None)[0]), list(name_projects([b, a], lambda name: "/a/cat.mp4")[0])
    (['cat'], ['cat-bb8ed7', 'cat'])
    """
    broken = [line for line in lines if isinstance(line, BrokenLine)]
    good = [line for line in lines if isinstance(line, CorpusLine)]
    plain = Counter(_key(name) for name in {line.video: plain_name(line.video) for line in good if line.name is None}.values())
    plain.update(_key(line.name) for line in good if line.name is not None)
    named: dict[str, CorpusLine] = {}
    taken: dict[str, CorpusLine] = {}
    for line in good:
        name = _name(line, plain, owner)
        if _key(name) in taken:
            broken.append(BrokenLine(line.number, line.written, _twice(line, taken[_key(name)], name)))
        else:
            named[name] = taken[_key(name)] = line
    return named, sorted(broken, key=lambda line: line.number)


def _name(line: CorpusLine, plain: Mapping[str, int], owner: Callable[[str], str | None]) -> str:
    if line.name is not None:
        return line.name
    name = plain_name(line.video)
    longer = f"{name}-{hashlib.sha256(line.written.encode()).hexdigest()[:6]}"
    if plain[_key(name)] > 1:
        return name if owner(name) == line.video else longer
    return name if owner(longer) is None or owner(name) == line.video else longer


def plain_name(video: str) -> str:
    """The file's name, made one that every file system and object store takes."""
    name = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in stem(video)).strip(". ")
    name = name.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    return f"{name or 'video'}-video" if name in RESERVED or not name else name


def _key(name: str | None) -> str:
    """Names that differ in case only share a folder on some file systems."""
    return (name or "").casefold()


def _twice(line: CorpusLine, other: CorpusLine, name: str) -> str:
    if line.name is None:
        return f'{line.written} is asked for on line {other.number} already: give one of the lines a "name" of its own.'
    return f'{line.written} has the "name" {name!r} of line {other.number}: give it another.'

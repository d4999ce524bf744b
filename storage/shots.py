"""``shots.json``: the cuts of a film found so far, where a project is tracked by its shots."""

from __future__ import annotations

import json
from collections.abc import Iterable

from storage.location import Location
from tam_dist.errors import SchemaError
from tam_dist.types import Cut, ShotScan

SHOTS = "shots.json"


def joined(scans: Iterable[ShotScan]) -> tuple[ShotScan, ...]:
    """The same stretches, ascending, those that touch as one; one that lies within another is left out.

    >>> joined([ShotScan(8, 16, (Cut(9, 0.5),), 8), ShotScan(0, 8, (), None), ShotScan(0, 8, (), None)])
    (ShotScan(start=0, stop=16, cuts=(Cut(frame=9, strength=0.5),), picture=8),)
    """
    found: list[ShotScan] = []
    for each in sorted(scans, key=lambda scan: (scan.start, -scan.stop)):
        last = found[-1] if found else None
        if last is None or each.start > last.stop:
            found.append(each)
        elif each.stop > last.stop:
            picture = each.picture if last.picture is None else last.picture
            cuts = (*last.cuts, *(cut for cut in each.cuts if cut.frame >= last.stop))
            found[-1] = ShotScan(last.start, each.stop, cuts, picture)
    return tuple(found)


def write_shots(project: Location, scans: Iterable[ShotScan]) -> None:
    """Raises :class:`StorageError`."""
    fields = [
        {"start": s.start, "stop": s.stop, "picture": s.picture, "cuts": [[cut.frame, cut.strength] for cut in s.cuts]}
        for s in scans
    ]
    (project / SHOTS).write(json.dumps({"scans": fields}).encode())


def read_shots(project: Location) -> tuple[ShotScan, ...]:
    """Nothing where nobody has looked. Raises :class:`SchemaError` where the file is damaged."""
    where = project / SHOTS
    data = where.read()
    if data is None:
        return ()
    try:
        return tuple(
            ShotScan(
                int(s["start"]),
                int(s["stop"]),
                tuple(Cut(int(frame), float(strength)) for frame, strength in s["cuts"]),
                None if s["picture"] is None else int(s["picture"]),
            )
            for s in json.loads(data)["scans"]
        )
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise SchemaError(f"{where} is damaged: remove it and run tam-dist resume, which looks for the cuts again.") from error

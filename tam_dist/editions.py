"""What of the prompt log counts where: from log and track record to stretches of chunks, each with its prompts.

An entry that is new to a project finds chunks tracked already. :func:`placed` says what becomes of these, and the answer is
kept as an edition of the track record:

* Masks of the segment that the entry is about are made again from its first frame on, and what was exempt there before (locks,
  say) counts again.
* Other segments of the film that are under way learn it as a reference at the next chunk that is not begun; finished ones are
  left as they are. So is all where a mask was only confirmed (a lock).
* What is taken back changes the segment that it was about, and no other.

:func:`settled` ends such a re-tracking early: the chunks behind are exempt, and what is not tracked yet learns it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from storage.prompt_log import LogEntry, Redo, Retrack, Undo, active, resolved
from tam_dist.tracking.asked import Asked, Stretch
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import Absent, Basis, Edition, Exemption, Fusion, Prompt

#: Makes what is asked for of the project's editions.
AskedOf = Callable[[Sequence[Edition]], Asked]
#: By uuid, the chunk from which an exempt entry is known after all; None: never.
_Late = dict[str, int | None]
#: Known as the log has it, from the entry's own frame on.
_FULLY = -1


def stretches_of(log: Sequence[LogEntry], editions: Sequence[Edition], base: SessionSpec) -> tuple[Stretch, ...]:
    """What counts where. ``base`` is the spec but for prompts and lessons."""
    counted = {uuid for edition in editions for uuid in edition.entries}
    entries = [_anew(entry) for entry in log if entry.uuid in counted]
    exemptions = _exemptions(editions)
    total = base.chunk_count
    inner = {edge for each in exemptions for edge in (each.first, each.stop) if 0 < edge < total}
    edges = sorted({*base.borders, total, *inner})
    specs: dict[frozenset[tuple[str, int | None]], SessionSpec] = {}
    found: list[Stretch] = []
    for first, stop in pairwise(edges):
        late = _late(exemptions, first)
        key = frozenset(late.items())
        if key not in specs:
            specs[key] = _spec(entries, late, base)
        if found and found[-1].spec is specs[key] and first not in base.borders:
            found[-1] = replace(found[-1], stop=stop)
        else:
            found.append(Stretch(first, stop, specs[key]))
    return tuple(found)


def _anew(entry: LogEntry) -> LogEntry:
    return replace(entry, undone_by=None) if isinstance(entry, Prompt) else entry


def _exemptions(editions: Iterable[Edition]) -> list[Exemption]:
    """All of them, in order."""
    return [each for edition in editions for each in edition.exemptions]


def _late(exemptions: Iterable[Exemption], chunk: int) -> _Late:
    """What is exempt in a chunk."""
    late: _Late = {}
    for each in exemptions:
        if each.first <= chunk < each.stop:
            for uuid in each.entries:
                late.pop(uuid, None)
                if not each.lifted:
                    late[uuid] = each.learn
    return late


def _spec(entries: Sequence[LogEntry], late: _Late, base: SessionSpec) -> SessionSpec:
    counted = [e for e in entries if late.get(e.uuid, _FULLY) is not None or isinstance(e, Prompt)]
    known = active([e for e in resolved(counted) if isinstance(e, Prompt)])
    exempt = [p for p in known if p.uuid in late]
    return replace(
        base,
        prompts=tuple(p for p in known if p.uuid not in late),
        lessons=tuple((learn, p) for p in exempt if (learn := late[p.uuid]) is not None),
        locks=tuple(p for p in exempt if p.purpose == "lock"),
        spared=tuple(p for p in exempt if p.purpose != "lock"),
    )


# --- placing what is new ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tracked:
    """How far a video is: the chunks whose forward masks hold, stored or just being made, as of what was asked so far."""

    chunks: frozenset[int]

    def behind(self, segment: range) -> int | None:
        """The first chunk of ``segment`` behind all that is tracked of it; None where that is all."""
        behind = max(self.chunks.intersection(segment), default=segment.start - 1) + 1
        return behind if behind < segment.stop else None


def placed(log: Sequence[LogEntry], editions: Sequence[Edition], asked_of: AskedOf, tracked: Tracked) -> Edition | None:
    """The edition that makes what is new in the log count; None where nothing is."""
    counted = {uuid for edition in editions for uuid in edition.entries}
    new = [entry for entry in log if entry.uuid not in counted]
    if not new:
        return None
    number, uuids = len(editions) + 1, tuple(entry.uuid for entry in new)
    if not editions:
        return Edition(number, uuids, why="opened", time=time.time())
    before, after = asked_of(editions), asked_of([*editions, Edition(number, uuids)])
    deciding = [entry for entry in new if isinstance(entry, Prompt | Undo | Redo)]
    by_uuid = {entry.uuid: entry for entry in log}
    exemptions: list[Exemption] = []
    for segment in _segments(after) if deciding else ():
        touched = [
            chunk
            for chunk in tracked.chunks.intersection(segment)
            if before.basis(chunk).after(0) != after.basis(chunk).after(0)
        ]
        if touched:
            exemptions += _exempt(segment, deciding, by_uuid, editions, tracked, after.chunk_size)
    for entry in new:
        if isinstance(entry, Retrack):
            exemptions += _lifted(entry, [*editions, Edition(number, uuids, tuple(exemptions))], after)
    return Edition(number, uuids, tuple(exemptions), "corrected", time.time())


def _exempt(
    segment: range,
    new: Sequence[LogEntry],
    by_uuid: Mapping[str, LogEntry],
    editions: Sequence[Edition],
    tracked: Tracked,
    chunk_size: int,
) -> list[Exemption]:
    """What of ``new`` is exempt in a segment with tracked chunks that it concerns."""
    about = {entry.uuid: _chunks_about(entry, by_uuid, chunk_size) for entry in new}
    inside = {uuid: chunks for uuid, chunks in about.items() if chunks.start < segment.stop and chunks.stop > segment.start}
    causes = [uuid for uuid in inside if _subject(by_uuid[uuid], by_uuid).purpose != "lock"]
    behind = tracked.behind(segment)
    first = min((max(inside[uuid].start, segment.start) for uuid in causes), default=segment.stop)
    again = first < (segment.stop if behind is None else behind)
    learn = first if again else behind
    found = []
    for entry in new:
        if entry.uuid in causes or (again and entry.uuid in inside and inside[entry.uuid].start >= first):
            continue
        when = learn if isinstance(entry, Prompt) and not isinstance(entry.data, Absent) else None
        found.append(Exemption((entry.uuid,), segment.start, segment.stop, when))
    if again:
        back = [uuid for uuid in _back(range(first, segment.stop), by_uuid, editions, chunk_size) if uuid not in about]
        if back:
            found.append(Exemption(tuple(back), first, segment.stop, lifted=True))
    return found


def _back(chunks: range, by_uuid: Mapping[str, LogEntry], editions: Sequence[Edition], chunk_size: int) -> Iterable[str]:
    """What counts again in ``chunks`` up to their segment's end if they are tracked anew: what lies there, and what counts in
    the first of them and is exempt further on. So one session makes them all. (With each end that was found for an earlier
    correction left as it is, one before three others was tracked in four sessions, each from the start: 2,632 frames of
    1,000.)
    """
    exemptions = _exemptions(editions)
    at_first = _late(exemptions, chunks.start)
    edges = {chunks.start, *(edge for each in exemptions for edge in (each.first, each.stop) if edge in chunks)}
    exempt = {uuid for edge in edges for uuid in _late(exemptions, edge)}
    for uuid in (uuid for uuid in by_uuid if uuid in exempt):
        about = _chunks_about(by_uuid[uuid], by_uuid, chunk_size)
        if about.start in chunks or (about.start < chunks.start and uuid not in at_first):
            yield uuid


def _lifted(entry: Retrack, editions: Sequence[Edition], asked: Asked) -> list[Exemption]:
    """All that is exempt in the frames that are wanted anew counts there."""
    exemptions = _exemptions(editions)
    first, stop = entry.first // asked.chunk_size, min(entry.last // asked.chunk_size + 1, asked.chunk_count)
    late = {uuid for chunk in range(first, stop) for uuid in _late(exemptions, chunk)}
    return [Exemption(tuple(sorted(late)), first, stop, lifted=True)] if late else []


def _subject(entry: LogEntry, by_uuid: Mapping[str, LogEntry]) -> Prompt:
    """The prompt that an entry is, takes back or puts in force again."""
    while isinstance(entry, Undo | Redo):
        entry = by_uuid[entry.target]
    assert isinstance(entry, Prompt)
    return entry


def _chunks_about(entry: LogEntry, by_uuid: Mapping[str, LogEntry], chunk_size: int) -> range:
    prompt = _subject(entry, by_uuid)
    first, last = (prompt.data.first, prompt.data.last) if isinstance(prompt.data, Absent) else (prompt.frame, prompt.frame)
    return range(first // chunk_size, last // chunk_size + 1)


def _segments(asked: Asked) -> list[range]:
    return [range(a, b) for a, b in pairwise((*asked.borders, asked.chunk_count))]


# --- ending early ------------------------------------------------------------------------------------------------------


def settled(
    log: Sequence[LogEntry],
    editions: Sequence[Edition],
    asked_of: AskedOf,
    chunk: int,
    stored: Basis,
    *,
    agreed: bool,
    due: Callable[[Asked], Collection[int]],
) -> Edition | None:
    """The edition with which tracking anew ends behind ``chunk``, or None where it has to go on.

    The masks behind it, the next of which are made from ``stored``, stay as they are if all that is new lies before, and either
    the new masks have ``agreed`` with the old ones for long enough or each object that it is about was marked again since.
    ``due``: the chunks that have to be tracked anew if so much is asked for. What is due further on learns what is new.
    """
    now, after = asked_of(editions), chunk + 1
    segment, stop = now.spec_at(chunk).segment_at(chunk), now.stop_of(chunk)
    if after >= segment.stop or _makes(now, after, stored):
        return None
    earlier = (number for number in reversed(range(1, len(editions))) if _makes(asked_of(editions[:number]), after, stored))
    before = next(earlier, 0)
    by_uuid = {entry.uuid: entry for entry in log}
    new = [by_uuid[uuid] for edition in editions[before:] for uuid in edition.entries if uuid in by_uuid]
    about = {entry.uuid: _subject(entry, by_uuid) for entry in new if isinstance(entry, Prompt | Undo | Redo)}
    passed = {uuid: prompt for uuid, prompt in about.items() if prompt.frame < stop and prompt.purpose != "lock"}
    if not before or not passed or any(isinstance(p.data, Absent) and p.data.last >= stop for p in passed.values()):
        return None
    if not agreed and not _marked_again(now.spec_at(chunk).prompts, passed, stop):
        return None
    number = len(editions) + 1
    trial = Edition(number, (), _as_before(editions, before, passed, range(after, segment.stop), None), "settled", time.time())
    left = sorted(each for each in due(asked_of([*editions, trial])) if after <= each < segment.stop)
    if not left:
        return trial
    if left[0] == after or not all(isinstance(by_uuid[uuid], Prompt) for uuid in passed):
        return None
    return replace(trial, exemptions=_as_before(editions, before, passed, range(after, segment.stop), left[0]))


def _makes(asked: Asked, chunk: int, stored: Basis) -> bool:
    """Whether the forward masks of a chunk that are made from ``stored`` are those asked for."""
    return asked.basis(chunk).after(0) == stored.after(0)


def _as_before(
    editions: Sequence[Edition], before: int, passed: Mapping[str, Prompt], chunks: range, learn: int | None
) -> tuple[Exemption, ...]:
    """Exemptions with which all counts in ``chunks`` as in the first ``before`` editions, but for what is new: ``passed``
    counts from chunk ``learn`` on, and what lies ahead as in the log.
    """
    old, new = _exemptions(editions[:before]), _exemptions(editions)
    edges = {edge for each in new for edge in (each.first, each.stop) if chunks.start < edge < chunks.stop}
    known = [uuid for edition in editions[:before] for uuid in edition.entries]
    shown = [uuid for uuid, prompt in passed.items() if uuid not in known and not isinstance(prompt.data, Absent)]
    hidden = [uuid for uuid in passed if uuid not in known and uuid not in shown]
    found = [Exemption(tuple(shown), chunks.start, chunks.stop, learn), Exemption(tuple(hidden), chunks.start, chunks.stop)]
    for first, stop in pairwise(sorted({chunks.start, chunks.stop, *edges})):
        was, now = _late(old, first), _late(new, first)
        differing = [uuid for uuid in known if was.get(uuid, _FULLY) != now.get(uuid, _FULLY)]
        found += [Exemption((uuid,), first, stop, was.get(uuid), lifted=uuid not in was) for uuid in differing]
    return tuple(each for each in found if each.entries)


def settled_back(editions: Sequence[Edition], asked_of: AskedOf, chunk: int, fusion: Fusion) -> Edition | None:
    """The edition with which a pass back from a correction ends with ``chunk``; None where it has no further to go, or where
    what lies before depends on later prompts as well, as in one segment of several.
    """
    now = asked_of(editions)
    spec, segment = now.spec_at(chunk), now.spec_at(chunk).segment_at(chunk)
    if len(now.borders) > 1 or min(fusion.since.values()) // now.chunk_size >= chunk:
        return None
    corrected = {o.name for o in now.objects if o.id in fusion.since}
    uuids = tuple(p.uuid for p in spec.prompts if p.frame == fusion.anchor and p.object_name in corrected)
    shown = tuple(uuid for uuid in uuids if not isinstance(now.prompts[uuid].data, Absent))
    exemption = Exemption(shown, segment.start, chunk)
    return Edition(len(editions) + 1, (), (exemption,), "settled", time.time())


def _marked_again(prompts: Sequence[Prompt], changed: Mapping[str, Prompt], stop: int) -> bool:
    """Whether each object that changed has been marked once more by then."""
    for name in {p.object_name for p in changed.values()}:
        last = max(p.data.last if isinstance(p.data, Absent) else p.frame for p in changed.values() if p.object_name == name)
        marks = (p.frame for p in prompts if p.object_name == name and p.uuid not in changed)
        if not any(last < mark < stop for mark in marks):
            return False
    return True

"""What a chunk's masks were made from, as digests: how a project tells masks that still hold from those to be made again.

A pass goes forwards, so a chunk depends on the prompts up to its end and on none behind it: a correction in frame 5,000
leaves the chunks before it up to date. Digests are of what is asked, not of who asked it when: a prompt that was taken back
and given again makes nothing stale.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tam_dist.errors import PromptError
from tam_dist.types import Absent, Box, Clicks, Mask, Prompt, PromptData, TrackedObject


class PromptDigests:
    """Of the ``prompts`` in force: SHA-256 (hex) of those that can influence the frames before a given one.

    >>> from tam_dist.types import Click
    >>> cat = TrackedObject(1, "cat", (0, 0, 0))
    >>> clicks = [Prompt("u", 0.0, "ann", frame, "cat", Clicks((Click(1, 2),))) for frame in (0, 40)]
    >>> one, both = PromptDigests([cat], clicks[:1], 80), PromptDigests([cat], clicks, 80)
    >>> one.before(40) == both.before(40), one.before(41) == both.before(41)
    (True, False)
    """

    def __init__(self, objects: Sequence[TrackedObject], prompts: Sequence[Prompt], frame_count: int) -> None:
        """Raises :class:`PromptError` for a prompt whose object is not among ``objects``."""
        ids = {o.name: o.id for o in objects}
        sha = hashlib.sha256()
        self._frames: list[int] = []
        self._digests = [sha.hexdigest()]
        for first, prompt in sorted(_with_first_frames(prompts, frame_count), key=lambda pair: (pair[0], *_order(pair[1]))):
            if prompt.object_name not in ids:
                raise PromptError(f"There is no object {prompt.object_name!r}; there are: {', '.join(ids)}.")
            entry = [ids[prompt.object_name], prompt.frame, prompt.data.kind, _content(prompt.data)]
            sha.update(json.dumps(entry).encode() + b"\n")
            self._frames.append(first)
            self._digests.append(sha.hexdigest())

    def before(self, stop: int) -> str:
        """The digest for a chunk whose last frame is ``stop - 1``."""
        return self._digests[bisect_left(self._frames, stop)]


def first_frames(prompts: Sequence[Prompt], frame_count: int) -> dict[str, int]:
    """By uuid, the first frame whose mask a prompt can change."""
    return {prompt.uuid: first for first, prompt in _with_first_frames(prompts, frame_count)}


def starts(objects: Sequence[TrackedObject], prompts: Sequence[Prompt]) -> dict[int, int]:
    """By object id, the frame of its first click, box or mask where it is not declared absent: there tracking it begins."""
    ids = {o.name: o.id for o in objects}
    absences: dict[str, list[Absent]] = defaultdict(list)
    for prompt in prompts:
        if isinstance(prompt.data, Absent):
            absences[prompt.object_name].append(prompt.data)
    found: dict[int, int] = {}
    for prompt in sorted(prompts, key=_order):
        away = any(a.first <= prompt.frame <= a.last for a in absences[prompt.object_name])
        if prompt.object_name in ids and not isinstance(prompt.data, Absent) and not away:
            found.setdefault(ids[prompt.object_name], prompt.frame)
    return found


def fill_digest(objects: Sequence[TrackedObject], prompts: Sequence[Prompt]) -> str:
    """SHA-256 (hex) of what a backward pass depends on: the prompts with which objects begin, and the absences before."""
    ids, begins = {o.name: o.id for o in objects}, starts(objects, prompts)
    sha = hashlib.sha256()
    for prompt in sorted(prompts, key=_order):
        object_id = ids[prompt.object_name]
        begin = begins.get(object_id, -1)
        if prompt.frame <= begin if isinstance(prompt.data, Absent) else prompt.frame == begin:
            sha.update(json.dumps([object_id, prompt.frame, prompt.data.kind, _content(prompt.data)]).encode() + b"\n")
    return sha.hexdigest()


@dataclass(frozen=True)
class Correction:
    """What a person corrected on ``frame``: by object id, the frame of the mark before it (a prompt, or the last frame of an
    absence), up to which the object is tracked back from there. ``digest``: SHA-256 (hex) of what that depends on.
    """

    frame: int
    since: Mapping[int, int]
    digest: str


def corrections(
    objects: Sequence[TrackedObject], prompts: Sequence[Prompt], others: Sequence[Prompt], frames: range
) -> tuple[Correction, ...]:
    """The ones among ``frames`` on which objects were corrected that a person had marked before, in the order in which that
    was done. ``others`` are marks that do not count for tracking, but bound what was corrected after them.
    """
    ids = {o.name: o.id for o in objects}
    asked: dict[int, dict[int, int]] = defaultdict(dict)
    first_asked: dict[int, tuple[float, str]] = {}
    for prompt in prompts:
        if prompt.purpose != "correction" or isinstance(prompt.data, Absent) or prompt.object_name not in ids:
            continue
        earlier = [other for other in others if other.time < prompt.time]
        known = _marks([p for p in (*prompts, *earlier) if p.object_name == prompt.object_name], frames)
        before = known[: bisect_left(known, prompt.frame)]
        if before and prompt.frame in known:
            asked[prompt.frame][ids[prompt.object_name]] = before[-1]
            when = prompt.time, prompt.uuid
            first_asked[prompt.frame] = min(when, first_asked.get(prompt.frame, when))
    return tuple(
        Correction(frame, asked[frame], _correction_digest(objects, prompts, frame, asked[frame]))
        for frame in sorted(asked, key=lambda frame: first_asked[frame])
    )


def marks_ahead(
    objects: Sequence[TrackedObject], prompts: Sequence[Prompt], others: Sequence[Prompt], chunk_size: int, most: int
) -> tuple[tuple[int, Prompt], ...]:
    """What objects are known from before it comes by, with the chunk in which it is learnt (XMem++, Bekuzarov et al. 2023, has
    all that a person gave in memory from the start).

    Where an object begins, what was prompted before tracking is; where it was corrected, what was marked before that, as it is
    tracked from there once more. Of each the ``most`` nearest frames in later chunks that are not known by then. A correction
    changes nothing before it. ``others`` are marks that do not count for tracking here, but for what is corrected after them.
    """
    begins, found = starts(objects, prompts), []
    for each in objects:
        shown = _shown([p for p in prompts if p.object_name == each.name])
        first = [p for p in shown if p.purpose == "prompt"]
        moments = [(begins[each.id], first)] if each.id in begins else []
        marks_of = [*shown, *(p for p in others if p.object_name == each.name and not isinstance(p.data, Absent))]
        for frame in sorted({p.frame for p in shown if p.purpose == "correction"}):
            when = min(p.time for p in shown if p.purpose == "correction" and p.frame == frame)
            moments.append((frame, [p for p in marks_of if p.time < when]))
        known: set[int] = set()
        for frame, marks in sorted(moments, key=lambda moment: moment[0]):
            chunk = frame // chunk_size
            nearest = sorted({p.frame for p in marks if p.frame // chunk_size > chunk} - known)[:most]
            known.update(nearest)
            found += [(chunk, p) for p in marks if p.frame in nearest]
    return tuple(found)


def _marks(prompts: Sequence[Prompt], frames: range) -> list[int]:
    """The ones among ``frames`` on which a person marked an object, ascending; of an absence the last one counts."""
    absences = (p.data.last for p in prompts if isinstance(p.data, Absent))
    return sorted({*(p.frame for p in _shown(prompts)), *absences}.intersection(frames))


def _shown(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Of one object's prompts those that say where it is, but for frames in which others say that it is away."""
    absences = [p.data for p in prompts if isinstance(p.data, Absent)]
    given = (p for p in prompts if not isinstance(p.data, Absent))
    return [p for p in given if not any(a.first <= p.frame <= a.last for a in absences)]


def _correction_digest(
    objects: Sequence[TrackedObject], prompts: Sequence[Prompt], frame: int, since: Mapping[int, int]
) -> str:
    names = {o.id: o.name for o in objects}
    sha = hashlib.sha256(b"fused")
    for object_id, begin in sorted(since.items()):
        sha.update(json.dumps([object_id, begin, frame]).encode() + b"\n")
        for prompt in sorted(prompts, key=_order):
            if prompt.object_name != names[object_id]:
                continue
            between = isinstance(prompt.data, Absent) and prompt.data.first <= frame and prompt.data.last >= begin
            if between or prompt.frame == frame:
                sha.update(json.dumps([object_id, prompt.frame, prompt.data.kind, _content(prompt.data)]).encode() + b"\n")
    return sha.hexdigest()


def learnt_digest(before: str, lessons: Sequence[tuple[int, Prompt]]) -> str:
    """SHA-256 (hex) of what ``before`` stands for and the prompts that were learnt later on, each with the chunk."""
    sha = hashlib.sha256(before.encode())
    for chunk, prompt in sorted(lessons, key=lambda each: (each[0], *_order(each[1]))):
        entry = [chunk, prompt.object_name, prompt.frame, prompt.data.kind, _content(prompt.data)]
        sha.update(json.dumps(entry).encode() + b"\n")
    return sha.hexdigest()


def locks_digest(locks: Sequence[Prompt]) -> str:
    """SHA-256 (hex) of masks that frames keep, "" without any."""
    sha = hashlib.sha256()
    for lock in sorted(locks, key=_order):
        sha.update(json.dumps([lock.object_name, lock.frame, lock.data.kind, _content(lock.data)]).encode() + b"\n")
    return sha.hexdigest() if locks else ""


def digest_of(values: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of plain values, whatever their order.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _with_first_frames(prompts: Sequence[Prompt], frame_count: int) -> Iterator[tuple[int, Prompt]]:
    """An object that is absent to the end is forgotten where that begins, so the last link of a chain of absences, each of
    which follows on the one before, reaches back to the first.
    """
    absences: dict[str, list[tuple[int, int, Prompt]]] = defaultdict(list)
    for prompt in prompts:
        if isinstance(prompt.data, Absent):
            absences[prompt.object_name].append((prompt.data.first, prompt.data.last, prompt))
        else:
            yield prompt.frame, prompt
    for spans in absences.values():
        for chain in _chains(sorted(spans, key=lambda span: span[:2])):
            to_the_end = max(last for _, last, _ in chain) >= frame_count - 1
            yield from ((chain[0][0] if to_the_end else first, prompt) for first, _, prompt in chain)


def _chains(spans: Sequence[tuple[int, int, Prompt]]) -> Iterator[list[tuple[int, int, Prompt]]]:
    chain: list[tuple[int, int, Prompt]] = []
    end = -1
    for span in spans:
        if chain and span[0] > end + 1:
            yield chain
            chain = []
        chain.append(span)
        end = max(end, span[1]) if len(chain) > 1 else span[1]
    if chain:
        yield chain


def _order(prompt: Prompt) -> tuple[int, float, str]:
    return prompt.frame, prompt.time, prompt.uuid


def _content(data: PromptData) -> Any:
    match data:
        case Clicks(points):
            return [[float(p.x), float(p.y), bool(p.positive)] for p in points]
        case Box(x0, y0, x1, y1):
            return [float(x0), float(y0), float(x1), float(y1)]
        case Mask(png):
            return hashlib.sha256(png).hexdigest()
        case Absent(first, last):
            return [first, last]

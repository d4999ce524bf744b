"""What is left to do in a project: a function of its prompt log, its track record and its commit records, and of nothing else.

A first run, a crash, a shard that was lost and a correction are all the same case: chunks are due, and tracking goes on from
the newest checkpoint before the first of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from storage.commits import CommitRecord
from storage.manifest import Manifest
from storage.project_store import ProjectStore
from storage.prompt_log import LogEntry
from tam_dist.config import Config, TrackingConfig, deciding_settings, from_dict
from tam_dist.editions import AskedOf, Tracked, placed, stretches_of
from tam_dist.errors import SchemaError
from tam_dist.media.shots import cuts_of, segments_at
from tam_dist.prompts import objects_in_log
from tam_dist.tracking.asked import Asked
from tam_dist.tracking.basis import digest_of, first_frames
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.snapshot import is_readable
from tam_dist.tracking.spec import ReferenceFrames, SessionSpec, SessionStart
from tam_dist.types import Absent, Cut, Edition, Mask, Prompt, ShotScan, TrackedObject, chunk_count

#: Frames that a decoder looks through for cuts at once: what is found does not depend on it.
SCAN_FRAMES = 1024
#: Chunks of the shortest shot that is tracked by itself: to start from references costs about half of that.
SHORTEST = 2


@dataclass(frozen=True)
class DueWork:
    """What is ``asked`` for; ``missing`` chunks have no masks, or not all of them since a backward pass has not come by yet
    (``half``); ``stale`` ones were made from something else than is asked for now. ``made`` counts the passes that have made
    a chunk's masks. ``edition``: the one with which what is new in the log counts, as it does here, that is still to be
    recorded. What is to be done where there are frames ``unscanned`` (start, stop) is known only when cuts have been
    looked for there.
    """

    asked: Asked
    missing: frozenset[int]
    stale: frozenset[int]
    made: Mapping[int, int]
    edition: Edition | None = None
    unscanned: tuple[tuple[int, int], ...] = ()

    @property
    def half(self) -> frozenset[int]:
        return frozenset(chunk for chunk in self.missing if self.made.get(chunk))

    @property
    def first(self) -> int:
        """The first chunk due; the number of chunks where none is."""
        return min(self.missing | self.stale, default=self.asked.chunk_count)

    @property
    def up_to_date(self) -> frozenset[int]:
        return frozenset(range(self.asked.chunk_count)) - self.missing - self.stale


def due_work(store: ProjectStore, begun: Iterable[int] = ()) -> DueWork:
    """As of now; ``begun``: chunks that are being made as was asked before. Raises :class:`SchemaError` where the log lacks
    prompts that masks were made from.
    """
    log, editions, records = store.entries(), store.editions(), store.records()
    prompts = [entry for entry in log if isinstance(entry, Prompt)]
    config = from_dict(dict(store.manifest.config))
    by_shots = config.tracking.segments == "shots"
    scans = store.shots() if by_shots else ()
    asked_of = asking(store.manifest, config, log, scans)
    edition = None
    if not {entry.uuid for entry in log}.issubset(uuid for each in editions for uuid in each.entries):
        before = asked_of(editions) if editions else None
        tracked = {c for c, record in records.items() if before is not None and made_of(record, before, prompts)}
        edition = placed(log, editions, asked_of, Tracked(frozenset({*tracked, *begun})))
    asked = asked_of(editions if edition is None else [*editions, edition])
    made = {chunk: made_of(record, asked, prompts) for chunk, record in records.items()}
    half = frozenset(chunk for chunk, passes in made.items() if 0 < passes < _layers(asked, chunk))
    stale = frozenset(chunk for chunk, passes in made.items() if not passes)
    _check_log(store, prompts, [records[chunk] for chunk in sorted(stale)])
    missing = (frozenset(range(asked.chunk_count)) - records.keys()) | half
    left = unscanned(scans, asked.frame_count) if by_shots else ()
    return DueWork(asked, missing, stale, made, edition, left)


def unscanned(scans: Sequence[ShotScan], frame_count: int) -> tuple[tuple[int, int], ...]:
    """The stretches (start, stop) of at most :data:`SCAN_FRAMES` that are still to be looked through.

    >>> unscanned([ShotScan(0, 2048, (), 0)], 3000)
    ((2048, 3000),)
    """
    starts = range(0, frame_count, SCAN_FRAMES)
    stretches = ((start, min(start + SCAN_FRAMES, frame_count)) for start in starts)
    return tuple((a, b) for a, b in stretches if not any(s.start <= a and b <= s.stop for s in scans))


def passes_due(work: DueWork) -> tuple[Pass, ...]:
    """Those of the video's passes that have something to do, in the order in which they store what they make of a chunk."""
    due, asked, made = work.missing | work.stale, work.asked, work.made
    return tuple(p for p in asked.passes if any(c in due and made.get(c, 0) <= asked.layer(p, c) for c in p.kept))


@dataclass(frozen=True)
class PassStart:
    """``next_chunk`` is the one to go on at; ``done`` are the pass's chunks of which all is stored that it makes, ``anew``
    those of which it replaces what is stored; ``references`` and, by chunk, ``lessons`` are what its session is to be given.
    """

    next_chunk: int
    done: frozenset[int]
    anew: frozenset[int]
    session: SessionStart
    references: tuple[ReferenceFrames, ...] = ()
    lessons: Mapping[int, tuple[ReferenceFrames, ...]] | None = None


def start_of(store: ProjectStore, asked: Asked, each: Pass) -> PassStart:
    """Where a pass goes on: behind the newest checkpoint before what is due of it that this version reads and that was made
    from the same, and where there is none, at its first frame.
    """
    prompts, records, spec = store.prompts(), store.records(each.chunks), asked.spec_of(each)
    made = {chunk: made_of(record, asked, prompts) for chunk, record in records.items()}
    done = frozenset(chunk for chunk in each.kept if made.get(chunk, 0) > asked.layer(each, chunk))
    anew = frozenset() if each.backward else frozenset(c for c in each.kept if c in records and not made[c])
    due = next((chunk for chunk in each.kept if chunk not in done), each.chunks.stop)
    if each.anchor is not None:
        return PassStart(each.chunks.start, done, anew, SessionStart(spec, None, each, _corrected(store, spec, each)))
    return _start_behind(_newest(store, spec, each, due, records, made), spec, each, done, anew)


def start_before(store: ProjectStore, asked: Asked, chunk: int) -> PassStart:
    """Where a session goes on that is to track ``chunk`` once more, which changes nothing."""
    (each,) = (p for p in asked.passes if not p.backward and chunk in p.kept)
    spec = asked.spec_of(each)
    newest = _newest(store, spec, each, chunk, store.records(each.chunks), {})
    return _start_behind(newest, spec, each, frozenset(), frozenset())


def _start_behind(
    newest: tuple[int, bytes] | None, spec: SessionSpec, each: Pass, done: frozenset[int], anew: frozenset[int]
) -> PassStart:
    """After the chunk of the ``newest`` state, from that; where there is none, at the pass's beginning, from references."""
    lessons = spec.lessons_of(each)
    if newest is None:
        return PassStart(each.chunks.start, done, anew, SessionStart(spec, None, each), spec.references(each), lessons)
    chunk, state = newest
    return PassStart(chunk + each.chunks.step, done, anew, SessionStart(spec, state, each), (), lessons)


def _newest(
    store: ProjectStore,
    spec: SessionSpec,
    each: Pass,
    due: int,
    records: Mapping[int, CommitRecord],
    made: Mapping[int, int],
) -> tuple[int, bytes] | None:
    """The newest state that a pass can go on from. ``records`` are of its chunks; of those that do not say what their masks
    were made from, ``made`` tells how many passes have made them.
    """

    def usable(chunk: int) -> bool:
        if chunk not in records:
            return False
        record = records[chunk]
        if record.basis is None:
            return made.get(chunk, 0) > 0
        wanted = spec.basis(chunk)
        # A backward pass's state depends on what it started from alone, a forward one's not on what came after it.
        return wanted.made(record.basis) > 0 if each.backward else record.basis.after(0) == wanted.after(0)

    return store.checkpoint(due, is_readable, backward=each.backward, usable=usable)


def _corrected(store: ProjectStore, spec: SessionSpec, each: Pass) -> tuple[Prompt, ...]:
    """What a pass back from a correction starts from: the masks that the forward pass has made of it."""
    assert each.anchor is not None
    names = {o.id: o.name for o in spec.objects}
    labels = store.labels[each.anchor]
    found = [p for p in spec.prompts_of(each) if isinstance(p.data, Absent)]
    fusion = spec.fusion(each)
    for object_id in sorted(fusion.since) if fusion is not None else ():
        mask = labels == object_id
        if mask.any():
            found.append(Prompt("", 0.0, "", each.anchor, names[object_id], Mask.from_array(mask)))
    return tuple(found)


# --- what is asked for ---------------------------------------------------------------------------------------------------


def asking(manifest: Manifest, config: Config, log: Sequence[LogEntry], scans: Sequence[ShotScan] = ()) -> AskedOf:
    """What a project asks for, as a function of its track record; ``config`` are its settings, ``scans`` what is known of the
    shots of one that is tracked by them.
    """
    objects = objects_in_log(manifest.objects, log)
    base = _base_spec(manifest, config, objects, scans)

    def asked_of(editions: Sequence[Edition]) -> Asked:
        stretches = stretches_of(log, editions, replace(base, edition=len(editions)))
        return Asked(base.width, base.height, base.frame_count, base.chunk_size, objects, stretches, len(editions))

    return asked_of


def _base_spec(
    manifest: Manifest, config: Config, objects: tuple[TrackedObject, ...], scans: Sequence[ShotScan]
) -> SessionSpec:
    """But for what is prompted."""
    by_shots = config.tracking.segments == "shots" and not unscanned(scans, manifest.frame_count)
    cuts = cuts_of(scans) if by_shots else None
    deciding = deciding_settings(config)
    if cuts is not None:
        deciding["cuts"] = [cut.frame for cut in cuts]
    return SessionSpec(
        width=manifest.source.width,
        height=manifest.source.height,
        frame_count=manifest.frame_count,
        chunk_size=manifest.chunk_size,
        objects=objects,
        prompts=(),
        propagation=config.propagation,
        refinement=config.refinement,
        weights=digest_of({role: model.sha256 for role, model in manifest.models.items()}),
        settings=digest_of(deciding),
        direction=config.tracking.direction,
        known_ahead=config.tracking.known_ahead,
        borders=borders_of(config.tracking, manifest.frame_count, cuts),
        cuts=None if cuts is None else tuple(cut.frame for cut in cuts),
    )


def borders_of(tracking: TrackingConfig, frame_count: int, cuts: Sequence[Cut] | None) -> tuple[int, ...]:
    """The first chunks of a video's segments; ``cuts`` are None where they are not known (yet)."""
    size = tracking.chunk_size
    if tracking.segments == "whole" or (tracking.segments == "shots" and cuts is None):
        return (0,)
    if cuts is None:
        return tuple(range(0, chunk_count(frame_count, size), int(tracking.segments)))
    longest = tracking.max_segment or None
    return tuple(each.first for each in segments_at(cuts, frame_count, size, least=SHORTEST * size, most=longest))


def most_segments(tracking: TrackingConfig, frame_count: int) -> int:
    """How many segments a video can have, whatever cuts are found in it. A shot that is too long is cut into parts of at least
    half of the longest.

    >>> from tam_dist.config import load_config
    >>> [most_segments(load_config([f"tracking.segments={how}"]).tracking, 720) for how in ("whole", "shots", "8")]
    [1, 22, 6]
    """
    if tracking.segments == "shots":
        longest = tracking.max_segment // tracking.chunk_size
        shortest = min(SHORTEST, (longest + 1) // 2) if longest else SHORTEST
        return max(1, chunk_count(frame_count, tracking.chunk_size) // shortest)
    return len(borders_of(tracking, frame_count, None))


def made_of(record: CommitRecord, asked: Asked, prompts: Sequence[Prompt]) -> int:
    """How many of the passes that make a chunk's masks have made the stored ones, as ``asked`` for; 0: not even the first."""
    if record.basis is not None:
        return asked.basis(record.chunk).made(record.basis)
    # Of a version that did not say: up to date with the log as it was then.
    first = first_frames(prompts, asked.frame_count)
    later = (p for p in prompts if p.time > record.time)
    return _layers(asked, record.chunk) if all(first[p.uuid] >= asked.stop_of(record.chunk) for p in later) else 0


def _layers(asked: Asked, chunk: int) -> int:
    return 1 + len(asked.basis(chunk).fills)


def _check_log(store: ProjectStore, prompts: Sequence[Prompt], stale: Sequence[CommitRecord]) -> None:
    """A log that was cut short would pass for one with fewer prompts, and what they made would be tracked away. Taking a prompt
    back leaves it in the log.
    """
    given = Counter(p.object_name for p in prompts)
    for name, count in store.manifest.asked.items():
        if given[name] < count:
            raise SchemaError(
                f"{store.location}: the prompt log has {given[name]} of the {count} prompts that {name!r} was given first: "
                "repeat the command that made the project, or restore prompts.jsonl from a copy."
            )
    known = {p.uuid for p in prompts}
    for record in stale:
        if record.basis is not None and not known.issuperset(record.prompts):
            raise SchemaError(
                f"{store.location}: the prompt log lacks a prompt that the masks of chunk {record.chunk} were made from: "
                "restore prompts.jsonl from a copy."
            )

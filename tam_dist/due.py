"""What is left to do in a project: a function of its prompt log and its commit records, and of nothing else.

A first run, a crash, a shard that was lost and a correction are all the same case: chunks are due, and tracking goes on from
the newest checkpoint before the first of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from storage.commits import CommitRecord
from storage.manifest import Manifest
from storage.project_store import ProjectStore
from storage.prompt_log import active
from tam_dist.config import Config, TrackingConfig, deciding_settings, from_dict
from tam_dist.errors import SchemaError
from tam_dist.media.shots import cuts_of, segments_at
from tam_dist.tracking.basis import digest_of, first_frames
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.snapshot import is_readable
from tam_dist.tracking.spec import SessionSpec, SessionStart
from tam_dist.types import Cut, Prompt, ShotScan, chunk_count

#: Frames that a decoder looks through for cuts at once: what is found does not depend on it.
SCAN_FRAMES = 1024
#: Chunks of the shortest shot that is tracked by itself: to start from references costs about half of that.
SHORTEST = 2


@dataclass(frozen=True)
class DueWork:
    """``spec`` holds the prompts in force; ``missing`` chunks have no masks, or not all of them since no backward pass has come
    by yet (``half``); ``stale`` ones were made from something else than is asked for now. What is to be done where there are
    frames ``unscanned`` (start, stop) is known only when cuts have been looked for there.
    """

    spec: SessionSpec
    missing: frozenset[int]
    stale: frozenset[int]
    half: frozenset[int] = frozenset()
    unscanned: tuple[tuple[int, int], ...] = ()

    @property
    def first(self) -> int:
        """The first chunk due; the number of chunks where none is."""
        return min(self.missing | self.stale, default=self.spec.chunk_count)

    @property
    def up_to_date(self) -> frozenset[int]:
        return frozenset(range(self.spec.chunk_count)) - self.missing - self.stale


def due_work(store: ProjectStore) -> DueWork:
    """As of now. Raises :class:`SchemaError` where the log lacks prompts that masks were made from."""
    prompts = store.prompts()
    by_shots = _config(store.manifest).tracking.segments == "shots"
    scans = store.shots() if by_shots else ()
    spec = session_spec(store.manifest, prompts, scans)
    records = store.records()
    half = frozenset(chunk for chunk, record in records.items() if _is_half(record, spec))
    stale = frozenset(chunk for chunk, record in records.items() if chunk not in half and not _holds(record, spec, prompts))
    _check_log(store, prompts, [records[chunk] for chunk in sorted(stale)])
    missing = (frozenset(range(spec.chunk_count)) - records.keys()) | half
    return DueWork(spec, missing, stale, half, unscanned(scans, spec.frame_count) if by_shots else ())


def unscanned(scans: Sequence[ShotScan], frame_count: int) -> tuple[tuple[int, int], ...]:
    """The stretches (start, stop) of at most :data:`SCAN_FRAMES` that are still to be looked through.

    >>> unscanned([ShotScan(0, 2048, (), 0)], 3000)
    ((2048, 3000),)
    """
    starts = range(0, frame_count, SCAN_FRAMES)
    stretches = ((start, min(start + SCAN_FRAMES, frame_count)) for start in starts)
    return tuple((a, b) for a, b in stretches if not any(s.start <= a and b <= s.stop for s in scans))


def passes_due(work: DueWork) -> tuple[Pass, ...]:
    """Those of the video's passes that have something to do."""
    due = work.missing | work.stale
    forward = due - work.half
    return tuple(p for p in work.spec.passes if not (due if p.backward else forward).isdisjoint(p.chunks))


@dataclass(frozen=True)
class PassStart:
    """``next_chunk`` is the one to go on at, ``done`` are the pass's chunks of which all is stored that it makes."""

    next_chunk: int
    done: frozenset[int]
    session: SessionStart
    references: tuple[int, ...] = ()


def start_of(store: ProjectStore, spec: SessionSpec, each: Pass) -> PassStart:
    """Where a pass goes on: behind the newest checkpoint before what is due of it that this version reads, and where there is
    none, at its first frame.
    """
    prompts = store.prompts()
    records = store.records(each.chunks)
    done = frozenset(
        chunk
        for chunk, record in records.items()
        if _holds(record, spec, prompts) or (not each.backward and _is_half(record, spec))
    )
    due = next((chunk for chunk in each.chunks if chunk not in done), each.chunks.stop)
    newest = store.checkpoint(due, is_readable, backward=each.backward)
    if newest is None or newest[0] not in each.chunks:
        return PassStart(each.chunks.start, done, SessionStart(spec, None, each), spec.reference_chunks(each))
    chunk, state = newest
    return PassStart(chunk + each.chunks.step, done, SessionStart(spec, state, each))


def session_spec(manifest: Manifest, prompts: Sequence[Prompt], scans: Sequence[ShotScan] = ()) -> SessionSpec:
    """``prompts``: all of the log's; ``scans``: of a project that is tracked by its shots."""
    config = _config(manifest)
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
        objects=manifest.objects,
        prompts=active(prompts),
        propagation=config.propagation,
        refinement=config.refinement,
        weights=digest_of({role: model.sha256 for role, model in manifest.models.items()}),
        settings=digest_of(deciding),
        direction=config.tracking.direction,
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


def _config(manifest: Manifest) -> Config:
    return from_dict(dict(manifest.config))


def _is_half(record: CommitRecord, spec: SessionSpec) -> bool:
    """The forward pass's masks hold, and nothing is filled in yet."""
    wanted = spec.basis(record.chunk)
    return record.basis != wanted and record.basis == wanted.before_fill


def _holds(record: CommitRecord, spec: SessionSpec, prompts: Sequence[Prompt]) -> bool:
    if record.basis is not None:
        return record.basis == spec.basis(record.chunk)
    # Of a version that did not say: up to date with the log as it was then.
    first = first_frames(prompts, spec.frame_count)
    later = (p for p in prompts if p.time > record.time)
    return all(first[p.uuid] >= spec.stop_of(record.chunk) for p in later)


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

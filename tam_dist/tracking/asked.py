"""All that a project asks for, in stretches of chunks within which the same prompts count."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cached_property

from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import SessionSpec, VideoGrid
from tam_dist.types import Basis, Prompt, TrackedObject


@dataclass(frozen=True)
class Stretch:
    """Chunks ``first`` to ``stop`` (exclusive) of one segment; their masks are those that sessions of ``spec`` make, begun
    where the segment begins.
    """

    first: int
    stop: int
    spec: SessionSpec


@dataclass(frozen=True)
class Asked(VideoGrid):
    """``stretches`` cover the video in order. Where nobody corrected anything while it was tracked, there is one a segment, all
    of the same spec.
    """

    objects: tuple[TrackedObject, ...]
    stretches: tuple[Stretch, ...]
    edition: int = 0

    @classmethod
    def plain(cls, spec: SessionSpec) -> Asked:
        """The same for all of the video."""
        ranges = [spec.segment_at(first) for first in spec.borders]
        stretches = tuple(Stretch(each.start, each.stop, spec) for each in ranges)
        return cls(spec.width, spec.height, spec.frame_count, spec.chunk_size, spec.objects, stretches, spec.edition)

    def spec_at(self, chunk: int) -> SessionSpec:
        return self._stretch_at(chunk).spec

    def basis(self, chunk: int) -> Basis:
        """What the masks of ``chunk`` are to be made from."""
        return self.spec_at(chunk).basis(chunk)

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """All that the video's work consists of; where several store a chunk, in the order in which they do."""
        found = [clipped for s in self.stretches for p in s.spec.passes_at(s.first) if (clipped := _clipped(p, s)) is not None]
        return tuple(sorted(found, key=lambda each: each.backward))

    def spec_of(self, over: Pass) -> SessionSpec:
        return self.spec_at(over.kept[0])

    def layer(self, over: Pass, chunk: int) -> int:
        """How many other passes store ``chunk`` before ``over`` does."""
        return self.spec_at(chunk).layer(over, chunk)

    @cached_property
    def prompts(self) -> dict[str, Prompt]:
        """All prompts that count in some stretch, or for what is corrected there, by uuid."""
        specs = {id(s.spec): s.spec for s in self.stretches}.values()
        return {p.uuid: p for spec in specs for p in (*spec.prompts, *spec.spared, *(lesson for _, lesson in spec.lessons))}

    @property
    def borders(self) -> tuple[int, ...]:
        """The chunks with which segments begin."""
        return self.stretches[0].spec.borders

    def _stretch_at(self, chunk: int) -> Stretch:
        return self.stretches[bisect_right(self._firsts, chunk) - 1]

    @cached_property
    def _firsts(self) -> list[int]:
        return [each.first for each in self.stretches]


def _clipped(whole: Pass, stretch: Stretch) -> Pass | None:
    """What of a pass over a segment is one over a stretch of it: it begins where that does, and stores the stretch alone."""
    first, stop = max(whole.first, stretch.first), min(whole.stop, stretch.stop)
    if first >= stop:
        return None
    if whole.backward:
        return replace(whole, first=first, skip=whole.stop - stop)
    return replace(whole, stop=stop, skip=first - whole.first)

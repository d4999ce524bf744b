"""The memory of one group of objects: working, long-term and permanent elements (paper section 3.3).

A group is the objects introduced in the same frame. Each group owns its keys, usage counts and long-term memory. Official
XMem shares keys between groups and pairs a later group's values with keys of other frames once anything is consolidated
(and cannot evict with two groups at all); a single group behaves as in official XMem.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tam_dist.config import PropagationConfig
from tam_dist.models.xmem.matching import Affinity, Query, Reading, full_affinity
from tam_dist.models.xmem.memory_store import ElementStore

logger = logging.getLogger(__name__)

#: From this share of known affinity on, a readout is taken as it is: rounding alone lies between it and 1.
_WHOLE = 1 - 1e-4
#: Below this share what is known is not scaled up any further, so that a cell nothing is known of reads as background.
_LEAST_KNOWN = 0.05


@dataclass(frozen=True, eq=False)
class MemoryFrame:
    """What is written of one frame: ``key`` (Ck, h, w), ``shrinkage`` (1, h, w), ``selection`` (Ck, h, w), and for the n
    objects of a group ``value`` (n, Cv, h, w) and ``coverage`` (n, h, w), the share of each cell that the object covers.
    ``unknown``: rows of objects that the frame tells nothing about.
    """

    key: Tensor
    shrinkage: Tensor
    selection: Tensor
    value: Tensor
    coverage: Tensor
    unknown: frozenset[int] = frozenset()

    def elements(self, *, with_selection: bool) -> ElementStore:
        """One element per position, in row-major order."""
        selection = self.selection if with_selection else self.selection[:0]
        known = torch.ones_like(self.coverage)
        value = torch.cat([self.value, self.coverage.unsqueeze(1), known.unsqueeze(1)], 1)
        value[sorted(self.unknown)] = 0
        return ElementStore.new(
            as_rows(self.key),
            self.shrinkage.flatten().clone(),
            as_rows(selection),
            value.permute(2, 3, 0, 1).flatten(0, 1).contiguous(),
        )


@dataclass(frozen=True, eq=False)
class Match:
    """What a group's memory says about a frame of (h, w) cells.

    ``readout`` (n, Cv, h, w); ``coverage`` (n, h, w), the share of each cell's affinity that falls on the object, 0..1;
    ``best`` (h, w), the similarity of the best match (at most 0); ``usage`` (N,), for :meth:`GroupMemory.count`.
    """

    readout: Tensor
    coverage: Tensor
    best: Tensor
    usage: Tensor


class GroupMemory:
    """Elements in the order [long-term, working, permanent], all matched together.

    Working memory holds the group's first frame for good and the newest frames; when it is full, its middle is
    consolidated into prototypes that go to long-term memory, which forgets its least used elements. Permanent memory
    (as in XMem++, Bekuzarov et al. 2023) holds later frames that a person gave masks for: they are never consolidated,
    counted or forgotten, but for the cap on their number.

    Where some of a group's objects are away, a frame is remembered for the others only: what it shows is no evidence that
    those who are away look like background. (Remembered as emptiness, 40 frames of absence lost an object for good.)
    """

    def __init__(self, config: PropagationConfig) -> None:
        self._config = config
        self._elements: ElementStore | None = None
        self._long = 0
        self._permanent = 0
        self._gaps = False  # whether any element tells nothing about some object
        self._cap_reported = False

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Elements in long-term, working and permanent memory."""
        total = 0 if self._elements is None else len(self._elements)
        return self._long, total - self._long - self._permanent, self._permanent

    @property
    def written(self) -> bool:
        """Whether there is anything to read."""
        return self._elements is not None

    @property
    def elements(self) -> ElementStore:
        """All elements, long-term ones first, then working, then permanent ones."""
        if self._elements is None:
            raise RuntimeError("the memory holds no frame yet")
        return self._elements

    # --- reading -------------------------------------------------------------------------------------------------------

    def read(self, key: Tensor, selection: Tensor) -> Reading:
        """Memory as it is now, to be read for a frame's ``key`` and ``selection`` (Ck, h, w); from any thread."""
        elements, config = self.elements, self._config
        query = Query(as_rows(key), as_rows(selection))
        return Reading(elements.key, elements.shrinkage, query, top_k=config.top_k, block=config.query_block)

    def match(self, key: Tensor, selection: Tensor, begun: Reading | None = None) -> Match:
        """Read memory for a frame's ``key`` and ``selection`` (Ck, h, w). Changes nothing.

        A reading that was ``begun`` for the frame before is gone on with, unless memory has changed since.
        """
        elements, size = self.elements, key.shape[-2:]
        if begun is None or not begun.is_of(elements.key, elements.shrinkage):
            begun = self.read(key, selection)
        found = begun.result()
        values = found.readout(elements.value.flatten(1)).view(*size, *elements.value.shape[1:]).permute(2, 3, 0, 1)
        known = values[:, :-1]
        if self._gaps:
            share = values[:, -1:]
            known = torch.where(share > _WHOLE, known, known / share.clamp(min=_LEAST_KNOWN))
        return Match(known[:, :-1].contiguous(), known[:, -1], found.best.view(size), self._usage(found))

    def _usage(self, found: Affinity) -> Tensor:
        return found.usage(len(self.elements)) if self._config.long_term else found.weight.new_zeros(0)

    def count(self, matched: Match) -> None:
        """Take note of which elements a match drew on; consolidation and eviction go by it."""
        if self._config.long_term:
            self._elements = self.elements.counted(matched.usage, 0, len(self.elements) - self._permanent)

    # --- writing -------------------------------------------------------------------------------------------------------

    def write(self, frame: MemoryFrame, *, permanent: bool) -> None:
        """Remember a frame; the group's first always goes to working memory, as official XMem has it."""
        self._gaps = self._gaps or bool(frame.unknown)
        new = frame.elements(with_selection=self._config.long_term)
        if self._elements is None:
            self._elements = new
        elif permanent:
            self._elements = ElementStore.concatenate([self._elements, new])
            self._permanent += len(new)
            self._hold_cap(len(new))
        else:
            end = len(self._elements) - self._permanent
            parts = [self._elements.rows(0, end), new, self._elements.rows(end, len(self._elements))]
            self._elements = ElementStore.concatenate(parts)
        if self._config.long_term and self.sizes[1] >= self._config.max_working_frames * len(new):
            self._consolidate(len(new))

    def _hold_cap(self, frame: int) -> None:
        excess = self._permanent - self._config.max_permanent_frames * frame
        if excess <= 0:
            return
        if not self._cap_reported:
            logger.warning(
                "More than %d frames have masks given by a person; from now on the oldest of them are no longer matched "
                "(propagation.max_permanent_frames).",
                self._config.max_permanent_frames,
            )
            self._cap_reported = True
        start = len(self.elements) - self._permanent
        kept = [self.elements.rows(0, start), self.elements.rows(start + excess, len(self.elements))]
        self._elements = ElementStore.concatenate(kept)
        self._permanent -= excess

    def _consolidate(self, frame: int) -> None:
        """Working memory down to its first frame and the newest; what lay between becomes prototypes in long-term memory."""
        config, elements = self._config, self.elements
        long, working, _ = self.sizes
        old = elements.rows(0, long)
        room = config.max_long_term_elements - config.num_prototypes
        if long > room:
            old = old.without_least_used(long - room)
        first = long + frame
        last = long + working - (config.min_working_frames - 1) * frame
        new = prototypes(elements.rows(first, last), config.num_prototypes)
        rest = [elements.rows(long, first), elements.rows(last, len(elements))]
        self._elements = ElementStore.concatenate([old, new, *rest])
        self._long = len(old) + len(new)

    def remove_object(self, column: int) -> None:
        """Forget one of the group's objects."""
        self._elements = self.elements.without_object(column)

    # --- state ---------------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which :meth:`restore` continues with the same bits."""
        scalars = {
            "long": self._long,
            "permanent": self._permanent,
            "gaps": self._gaps,
            "cap_reported": self._cap_reported,
        }
        return self.elements.tensors(), scalars

    @classmethod
    def restore(cls, config: PropagationConfig, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> GroupMemory:
        memory = cls(config)
        memory._elements = ElementStore(**tensors)
        memory._gaps = scalars["gaps"]
        memory._long = scalars["long"]
        memory._permanent = scalars["permanent"]
        memory._cap_reported = scalars["cap_reported"]
        return memory


def prototypes(candidates: ElementStore, count: int) -> ElementStore:
    """The ``count`` most used candidates, each with the value and shrinkage of all candidates, weighted by how much they
    resemble it ("potentiation").
    """
    chosen = candidates.pick(candidates.most_used(count))
    affinity = full_affinity(candidates.key, candidates.shrinkage, Query(chosen.key, chosen.selection))
    shrinkage = affinity @ candidates.shrinkage
    value = (affinity @ candidates.value.flatten(1)).view_as(chosen.value)
    return ElementStore.new(chosen.key, shrinkage, chosen.selection, value)


def as_rows(planes: Tensor) -> Tensor:
    """(C, h, w) to contiguous (h·w, C).

    >>> as_rows(torch.tensor([[[1, 2]], [[3, 4]]])).tolist()
    [[1, 3], [2, 4]]
    """
    return planes.flatten(1).T.contiguous()

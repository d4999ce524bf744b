"""Whether a project's masks are those that its records vouch for, and letting go of those that aren't, so that they become
due like any other chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.project_store import ProjectStore
from tam_dist.due import due_work

#: Hears how many of how many chunks are checked.
Checked = Callable[[int, int], None]


@dataclass(frozen=True)
class Verdict:
    """``damaged`` chunks are recorded, but their stored masks, scores or records are lost or garbled; ``stale`` ones were made
    from other prompts, weights or settings than the project's; ``missing`` ones were never finished.
    """

    where: str
    chunks: int
    chunk_size: int
    damaged: tuple[int, ...]
    stale: tuple[int, ...]
    missing: tuple[int, ...]

    @property
    def sound(self) -> bool:
        """Nothing stored is wrong; it need not be finished."""
        return not self.damaged and not self.stale

    @property
    def done(self) -> bool:
        return self.sound and not self.missing


def verify(where: str, checked: Checked | None = None) -> Verdict:
    """Read everything that is stored and compare it with what was recorded. Changes nothing.

    Raises :class:`ProjectError`, :class:`SchemaError` and :class:`StorageError` where the project can't be read at all.
    """
    store = ProjectStore.open(where, write=False)
    work = due_work(store)
    damaged = damaged_chunks(store, checked)
    return Verdict(
        where=str(store.location),
        chunks=work.asked.chunk_count,
        chunk_size=work.asked.chunk_size,
        damaged=damaged,
        stale=tuple(sorted(work.stale.difference(damaged))),
        missing=tuple(sorted(work.missing.difference(damaged))),
    )


def damaged_chunks(store: ProjectStore, checked: Checked | None = None, *, thorough: bool = True) -> tuple[int, ...]:
    """Committed chunks whose masks, scores or record are not what was committed; ascending. See
    :meth:`ProjectStore.is_intact` for ``thorough``.
    """
    committed = sorted(store.committed)
    damaged = []
    for number, chunk in enumerate(committed, 1):
        if not store.is_intact(chunk, thorough=thorough):
            damaged.append(chunk)
        if checked is not None:
            checked(number, len(committed))
    return tuple(damaged)


def drop_damaged(where: str) -> tuple[int, ...]:
    """Let the damaged chunks of a project count as never tracked; returns them. Raises :class:`ProjectLockedError` where it is
    being written. Looks at the stored bytes: to read all masks of a two-hour film takes ten minutes.
    """
    damaged = damaged_chunks(ProjectStore.open(where, write=False), thorough=False)
    if damaged:
        with ProjectStore.open(where, write=True) as store:
            store.forget([chunk for chunk in damaged if not store.is_intact(chunk)])
    return damaged

"""Two small zarr stores: one whose writes survive a power cut, and one that shows a reader one version of each object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.storage import LocalStore, WrapperStore

from storage.location import replace_file

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype


class DurableLocalStore(LocalStore):
    """zarr's ``LocalStore`` renames but does not fsync: after a power cut a commit record could outlive its shard."""

    async def set(self, key: str, value: Buffer) -> None:
        if not self._is_open:
            await self._open()
        self._check_writable()
        await asyncio.to_thread(replace_file, self.root / key, value.to_bytes())


class SnapshotStore(WrapperStore[Store]):
    """Reads a sharded object once and serves every byte range of it from that copy, until :meth:`forget`.

    zarr reads a frame of a shard in two requests, index and data. Where the shard is replaced in between, the old index
    is applied to the new data; so both must come from one version.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._held: dict[str, Buffer | None] = {}

    def forget(self) -> None:
        """Read afresh from here on."""
        self._held.clear()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if byte_range is None:
            return await self._store.get(key, prototype)
        if key not in self._held:
            self._held[key] = await self._store.get(key, prototype)
        whole = self._held[key]
        if whole is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            return whole[byte_range.start : byte_range.end]
        if isinstance(byte_range, OffsetByteRequest):
            return whole[byte_range.offset :]
        return whole[max(0, len(whole) - byte_range.suffix) :]

"""Packs as objects of a bucket (S3 and compatible stores), through obstore.

An object appears whole or not at all, so there is nothing to sync. A pack is uploaded in parts while it is
written; a lifecycle rule of the bucket should remove the unfinished multipart uploads that a crash leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from headwater.base.errors import Damaged, Unavailable
from headwater.store.packs.backend import StoredPack
from headwater.store.packs.format import new_pack, pack_name, pack_of_name
from headwater.store.packs.guard import ChunkGuard
from headwater.store.packs.source import Content, PackSource

PART_BYTES = 8 * 1024 * 1024
"""Size of one part of an upload; a gibibyte has 128 of them, far below the 10,000 that S3 allows."""

READ_BYTES = 4 * 1024 * 1024
"""A request costs tens of milliseconds, so each fetches more than a read of a local file would."""

_PARTS_AT_ONCE = 2


def _unavailable(failure: Exception) -> Unavailable:
    return Unavailable(f"the object store did not answer as it should: {failure}", retry_after_seconds=5)


class _ObjectWriter(Protocol):
    """An upload under way, as ``obstore.open_writer`` returns it; its class has no public name there."""

    def write(self, buffer: bytes, /) -> int: ...

    def close(self) -> None: ...


class _ObjectSink:
    """An object that is being uploaded; it exists once ``finish`` returns."""

    def __init__(self, pack: int, writer: _ObjectWriter) -> None:
        self.pack = pack
        self._writer: _ObjectWriter | None = writer

    def write(self, piece: Content) -> None:
        """Hands a piece over; it is copied before this returns."""
        assert self._writer is not None
        try:
            self._writer.write(bytes(piece))
        except (BaseError, OSError) as failure:
            raise _unavailable(failure) from failure

    def finish(self) -> None:
        """Completes the upload."""
        assert self._writer is not None
        try:
            self._writer.close()
        except (BaseError, OSError) as failure:
            raise _unavailable(failure) from failure

    def discard(self) -> None:
        """Drops the upload: it was never completed, so no object exists."""
        self._writer = None


class _ObjectSource:
    """A stored object, read by ranges."""

    def __init__(self, store: ObjectStore, pack: int, size_bytes: int) -> None:
        self._store = store
        self._pack = pack
        self.size_bytes = size_bytes

    def read(self, start_bytes: int, length_bytes: int) -> bytes:
        """Exactly these bytes."""
        if start_bytes + length_bytes > self.size_bytes:
            raise Damaged(f"pack {pack_name(self._pack)} is shorter than its chunks")
        try:
            found = obstore.get_range(self._store, pack_name(self._pack), start=start_bytes, length=length_bytes)
        except FileNotFoundError as failure:
            raise Damaged(f"pack {pack_name(self._pack)} is missing") from failure
        except (BaseError, OSError) as failure:
            raise _unavailable(failure) from failure
        return found.to_bytes()

    def close(self) -> None:
        """Does nothing: no connection is held."""


class PackBucket:
    """Packs in an object store; its prefix, if it has one, is part of the store."""

    piece_bytes = READ_BYTES

    def __init__(self, store: ObjectStore) -> None:
        self.guard = ChunkGuard()
        self._store = store

    def create(self) -> _ObjectSink:
        """Begins the upload of a new pack."""
        pack = new_pack()
        try:
            writer = obstore.open_writer(
                self._store, pack_name(pack), buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
        except (BaseError, OSError) as failure:
            raise _unavailable(failure) from failure
        return _ObjectSink(pack, writer)

    def open(self, pack: int) -> PackSource:
        """Opens a pack by reading its size."""
        try:
            size_bytes = obstore.head(self._store, pack_name(pack))["size"]
        except FileNotFoundError as failure:
            raise Damaged(f"pack {pack_name(pack)} is missing") from failure
        except (BaseError, OSError) as failure:
            raise _unavailable(failure) from failure
        return _ObjectSource(self._store, pack, size_bytes)

    def delete(self, pack: int) -> None:
        """Removes a pack's object."""
        try:
            obstore.delete(self._store, pack_name(pack))
        except FileNotFoundError:
            return
        except (BaseError, OSError) as failure:
            raise _unavailable(failure) from failure

    def listing(self) -> Iterator[StoredPack]:
        """Every object whose path is that of a pack."""
        try:
            for page in obstore.list(self._store, chunk_size=1000):
                for meta in page:
                    pack = pack_of_name(meta["path"])
                    if pack is not None:
                        modified_us = int(meta["last_modified"].timestamp() * 1_000_000)
                        yield StoredPack(pack, meta["size"], modified_us)
        except (BaseError, OSError) as failure:
            raise _unavailable(failure) from failure

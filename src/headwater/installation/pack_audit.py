"""Compares the packs in a backup with its tables: a hash proves only that the backup is as it was written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from typing import IO

from headwater.base.errors import Damaged
from headwater.installation.archive import PIECE_BYTES, BackupManifest
from headwater.store import dump
from headwater.store.database import Transaction
from headwater.store.integrity import Finding
from headwater.store.packs.format import chunk_id, pack_name, pack_of_name, read_tail

_IN_USE = "SELECT organisation, pack, size_bytes FROM packs WHERE retired_us IS NULL ORDER BY pack"
_COLUMNS = ("organisation", "pack", "size_bytes", "retired_us")
_IN_MEMORY_BYTES = 16 * PIECE_BYTES

PackInUse = tuple[str, int, int]
"""A pack in use, as its table states it: organisation, number, bytes of the file."""


def in_use(tx: Transaction) -> list[PackInUse]:
    """The packs in use; a retired pack may be removed at any time."""
    return [(row[0], row[1], row[2]) for row in tx.rows(_IN_USE)]


def compare(packs: Iterable[PackInUse], size_of: Callable[[str], int | None]) -> list[Finding]:
    """A finding for each pack that is missing or of another size; ``size_of`` returns a pack's bytes, or None."""
    found = []
    for organisation, pack, size_bytes in packs:
        name = pack_name(pack)
        actual_bytes = size_of(name)
        if actual_bytes is None:
            found.append(Finding("content", organisation, f"pack {name} is missing"))
        elif actual_bytes != size_bytes:
            found.append(Finding("content", organisation, f"pack {name} has {actual_bytes} bytes, not {size_bytes}"))
    return found


class PackInspection:
    """Checks the packs of a backup while its members are read, and lists what they lack."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._pieces: IO[bytes] | None = None
        self._sizes: dict[str, int] = {}
        self._damages: dict[str, str] = {}
        self._pages: list[bytes] = []

    def add(self, name: str, piece: bytes) -> None:
        """Receives a piece of a member; an empty piece ends the member."""
        folder, _, rest = name.partition("/")
        if name.startswith("tables/packs/"):
            self._rows.append(piece)
            if not piece:
                self._pages.append(b"".join(self._rows))
                self._rows = []
        elif folder == "packs" and pack_of_name(rest) is not None:
            if self._pieces is None:
                self._pieces = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed at its end
            self._pieces.write(piece)
            if not piece:
                with self._pieces as content:
                    self._end(rest, content)
                self._pieces = None

    def findings(self, manifest: BackupManifest) -> list[Finding]:
        """A finding for each fault of a pack; none when the packs are in a bucket, or the schema has no packs."""
        table = manifest.tables.get("packs")
        if manifest.packs != "included" or table is None or not set(_COLUMNS) <= set(table.columns):
            return []
        places = [table.columns.index(column) for column in _COLUMNS]
        rows = [tuple(row[place] for place in places) for page in self._pages for row in dump.unpack(page)]
        named = [(row[0], row[1], row[2]) for row in rows if row[3] is None]
        owners = {pack_name(pack): organisation for organisation, pack, _ in named}
        damaged = [Finding("content", owners[name], why) for name, why in self._damages.items() if name in owners]
        return compare(named, self._sizes.get) + damaged

    def _end(self, name: str, content: IO[bytes]) -> None:
        """Checks a pack against its own list of chunks."""
        pack = pack_of_name(name)
        source = _SpooledPack(name, content)
        self._sizes[name] = source.size_bytes
        try:
            for ref in read_tail(pack or 0, source).refs:
                if chunk_id(source.read(ref.start_bytes, ref.length_bytes)) != ref.chunk:
                    raise Damaged(f"pack {name}: chunk {ref.chunk.hex()} fails its hash")
        except Damaged as failure:
            self._damages[name] = failure.detail


class _SpooledPack:
    """A pack of a backup, in a temporary file while it is checked."""

    def __init__(self, name: str, content: IO[bytes]) -> None:
        self._name = name
        self._content = content
        self.size_bytes = content.seek(0, 2)

    def read(self, start_bytes: int, length_bytes: int) -> bytes:
        self._content.seek(start_bytes)
        found = self._content.read(length_bytes)
        if len(found) != length_bytes:
            raise Damaged(f"pack {self._name} is shorter than its chunks")
        return found

    def close(self) -> None:
        self._content.close()

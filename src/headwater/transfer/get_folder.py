"""Downloads the tree of a share: writes all files under temporary names, syncs them, then renames them."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from headwater.base.descriptors import opened
from headwater.base.errors import Damaged, HeadwaterError, StateConflict
from headwater.contracts.files import content
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import NamePolicy, stored_name
from headwater.contracts.files.paths import PathIndex
from headwater.installation.progress import Report
from headwater.store.database import Database, Transaction
from headwater.store.packs import chunks
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_range
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import ROOT, Node
from headwater.transfer.results import Failure

FILES_AT_ONCE = 1000
FAILURES_KEPT = 1000
CHILDREN_AT_ONCE = 1000

LOCAL_NAMES = NamePolicy(case_sensitive=True, portable=os.name == "nt")
"""The names that this system can store: none that leads elsewhere, and on Windows none that it reads as another."""


class SharedFile(NamedTuple):
    """A file of the tree; ``path`` has the names that lead to it from the top of the listing."""

    path: tuple[str, ...]
    version: str
    content_hash: str
    size_bytes: int
    modified_us: int


class Listing(NamedTuple):
    """A share's tree, or a part of it, at one moment; a folder precedes the folders in it."""

    row: ShareRow
    folders: Sequence[tuple[str, ...]]
    files: Sequence[SharedFile]

    @property
    def size_bytes(self) -> int:
        """The bytes of all its files."""
        return sum(file.size_bytes for file in self.files)


def listing(tx: Transaction, row: ShareRow, path: str) -> Listing:
    """The tree below a path of the share, or the file at that path. Raises: Invalid, NotFound.

    Memory grows with the number of files, not with their sizes.
    """
    top = ROOT
    if path != "/":
        node = PathIndex(tx, row).node_at(path)
        if node.type != "folder":
            return Listing(row, (), [_file(tx, row, (node.name,), node)])
        top = node.id
    folders: list[tuple[str, ...]] = []
    files: list[SharedFile] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [(top, ())]
    while waiting:
        folder_id, names = waiting.pop()
        for child in _children(tx, row, folder_id):
            below = (*names, child.name)
            if child.type == "folder":
                folders.append(below)
                waiting.append((child.id, below))
            else:
                files.append(_file(tx, row, below, child))
    return Listing(row, folders, files)


class FolderDownload:
    """One download of a listing into an empty folder."""

    def __init__(self, database: Database, packs: PackBackend, found: Listing, folder: Path, report: Report) -> None:
        self.counts: Counter[str] = Counter()
        self.written_bytes = 0
        self.failures: list[Failure] = []
        self._database = database
        self._packs = packs
        self._found = found
        self._folder = folder
        self._staging = folder / f".headwater-{secrets.token_hex(8)}"
        self._bar = report
        self._total_bytes = found.size_bytes
        self._done_bytes = 0

    def write(self) -> None:
        """Writes the tree; removes temporary files after a failure. Raises: OSError (the disk is full), Unavailable."""
        self._staging.mkdir(mode=0o700)
        with ExitStack() as ends:
            ends.callback(shutil.rmtree, self._staging, ignore_errors=True)
            written = self._write_contents()
            # Before the names: after a power loss every name that exists has its content.
            _sync(self._folder)
            self._put_in_place(written)
            _sync(self._folder)

    def _write_contents(self) -> list[tuple[int, SharedFile]]:
        """Writes each content under its number; returns the files that succeeded."""
        written: list[tuple[int, SharedFile]] = []
        numbered = enumerate(self._found.files)
        while part := list(islice(numbered, FILES_AT_ONCE)):
            located = self._located([file for _, file in part])
            for number, file in part:
                end = self._done_bytes + file.size_bytes
                try:
                    self._write_content(self._staging / str(number), file, self._refs(file, located))
                    written.append((number, file))
                except Damaged as failure:
                    (self._staging / str(number)).unlink(missing_ok=True)
                    self._fail(file.path, failure.detail)
                self._report(end)
        return written

    def _located(self, files: Iterable[SharedFile]) -> Mapping[bytes, ChunkRef]:
        """The locations of the contents that are one chunk."""
        single = [chunk for file in files if (chunk := versions.only_chunk(file.content_hash)) is not None]
        organisation = self._found.row.organisation
        return self._database.read_now(lambda tx: chunks.locate(tx, organisation, single))

    def _refs(self, file: SharedFile, located: Mapping[bytes, ChunkRef]) -> Iterable[ChunkRef]:
        """The locations of a file's chunks, in order. Raises: Damaged (one is missing)."""
        chunk, row = versions.only_chunk(file.content_hash), self._found.row
        if chunk is None:
            return content.refs_by_page(self._database, row.feed, row.organisation, file.version)
        ref = located.get(chunk)
        if ref is None:
            raise Damaged(f"chunk {chunk.hex()} is missing")
        return (ref,)

    def _write_content(self, target: Path, file: SharedFile, refs: Iterable[ChunkRef]) -> None:
        """Writes one content, and checks each chunk against its hash. Raises: Damaged."""
        if file.size_bytes < 0:
            raise Damaged("its version is missing")
        written_bytes = 0
        with target.open("xb") as stream:
            for piece in read_range(self._packs, refs):
                stream.write(piece)
                written_bytes += len(piece)
                self._report(self._done_bytes + len(piece))
        if written_bytes != file.size_bytes:
            raise Damaged(f"its chunks have {written_bytes} bytes, and it should have {file.size_bytes}")
        at_ns = file.modified_us * 1000
        os.utime(target, ns=(at_ns, at_ns))

    def _put_in_place(self, written: Iterable[tuple[int, SharedFile]]) -> None:
        """Renames everything; a name that this system cannot store, or takes for another name, fails alone."""
        places: dict[tuple[str, ...], Path] = {(): self._folder}
        for names in self._found.folders:
            place = self._place(places, names)
            if place is not None:
                try:
                    place.mkdir()
                except OSError as failure:
                    self._fail(names, failure.strerror or type(failure).__name__)
                    continue
                places[names] = place
                self.counts["folders"] += 1
        for number, file in written:
            place = self._place(places, file.path)
            if place is not None:
                try:
                    (self._staging / str(number)).rename(place)
                except OSError as failure:
                    self._fail(file.path, failure.strerror or type(failure).__name__)
                    continue
                self.counts["files"] += 1
                self.written_bytes += file.size_bytes

    def _place(self, places: Mapping[tuple[str, ...], Path], names: tuple[str, ...]) -> Path | None:
        """The local path for names of the share; None, and counted as failed, when this system cannot store it."""
        folder = places.get(names[:-1])
        if folder is None:
            self._fail(names, "its folder could not be made")
            return None
        try:
            stored_name(names[-1], LOCAL_NAMES)
            place = folder / names[-1]
            if os.path.lexists(place):
                raise StateConflict("this system takes its name for that of another file beside it")
        except HeadwaterError as refusal:
            self._fail(names, refusal.detail)
            return None
        return place

    def _fail(self, names: tuple[str, ...], reason: str) -> None:
        self.counts["failed"] += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(Failure("/" + "/".join(names), reason))

    def _report(self, done_bytes: int) -> None:
        self._done_bytes = done_bytes
        self._bar("files", done_bytes, self._total_bytes)


def _children(tx: Transaction, row: ShareRow, folder_id: str) -> Iterator[Node]:
    after = ""
    while page := nodes.children(tx, row.feed, folder_id, after, CHILDREN_AT_ONCE):
        yield from page
        after = page[-1].name_key


def _file(tx: Transaction, row: ShareRow, names: tuple[str, ...], node: Node) -> SharedFile:
    version = versions.find(tx, row.feed, node.version or "")
    if version is None:
        return SharedFile(names, node.version or "", "", -1, node.updated_us)
    return SharedFile(names, version.id, version.content_hash, version.size_bytes, version.modified_us)


def _sync(folder: Path) -> None:
    """Syncs everything below a folder: by one call where the system has it, else file by file.

    Raises: OSError (the disk failed).
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if os.name == "posix" else None
    if syncfs is None:
        for top, _, names in os.walk(folder):
            for path in [*(Path(top, name) for name in names), Path(top)]:
                _sync_one(path)
        return
    with opened(folder) as handle:
        if syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))


def _sync_one(path: Path) -> None:
    with opened(path) as handle:
        os.fsync(handle)

"""Creates the files of a packed upload in one transaction: new ones in bulk, the others one by one.

Each file has a result of its own; the failure of one does not concern its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.base.errors import HeadwaterError
from headwater.base.ids import random_id, random_ids
from headwater.base.settings.table import FileSettings
from headwater.base.wire import format_seconds
from headwater.contracts.files import content, paths, quota
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.packed.parser import Arrived, failure_of, unknown_chunks
from headwater.contracts.files.packed.shapes import PackedResult
from headwater.contracts.files.paths import MadeFolder, PathIndex
from headwater.contracts.files.uploads import commit
from headwater.contracts.files.uploads.rules import DEFAULT_TYPE
from headwater.contracts.files.uploads.shapes import FailureAnswer
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.packs import chunks
from headwater.store.packs.writer import Written
from headwater.store.tree import bulk as tree_bulk
from headwater.store.tree import nodes, versions
from headwater.store.tree.bulk import NewFile
from headwater.store.tree.nodes import Actor, Name
from headwater.store.tree.versions import Piece, Version
from headwater.store.tree.writer import TreeWriter

_FileFunction = Callable[[Arrived], None]
_Placed = tuple[Arrived, MadeFolder, Name]
_TAKEN = "SELECT name_key FROM nodes WHERE feed = ? AND parent = ? AND trashed_us IS NULL AND name_key"


class Packing(NamedTuple):
    """A packed upload that is durable: its sender, their device, and its content."""

    principal: Principal
    actor: Actor
    arrived: Sequence[Arrived]
    written: Written
    stage_only: bool


def store(tx: Transaction, row: ShareRow, packing: Packing, settings: FileSettings) -> list[PackedResult]:
    """Registers the chunks and make the files visible; one result a file, in their order."""
    chunks.register(tx, packing.written)
    return _Storing(tx, row, packing, settings).run()


class _Storing:
    """A packed upload that is stored in one transaction."""

    def __init__(self, tx: Transaction, row: ShareRow, packing: Packing, settings: FileSettings) -> None:
        self._tx = tx
        self._row = row
        self._packing = packing
        self._settings = settings
        self._index = PathIndex(tx, row)
        self._writer = TreeWriter(tx, row.share, packing.actor)
        self._folders: dict[str, MadeFolder] = {}
        self._created: set[tuple[str, str]] = set()
        self._created_ids: set[str] = set()
        self._results: dict[int, PackedResult] = {}

    def run(self) -> list[PackedResult]:
        """Stores all; new files in bulk first, then those that meet an existing one."""
        good = self._within_quota(self._with_known_chunks(self._sound()))
        if self._packing.stage_only:
            self._stage(good)
        else:
            later = self._create(good)
            for file in sorted(later, key=lambda each: each.number):
                self._guard(file, self._update)
        return [self._results[file.number] for file in self._packing.arrived]

    def _sound(self) -> list[Arrived]:
        """The files that arrived without a failure."""
        for file in self._packing.arrived:
            if file.failure is not None:
                self._fail(file, file.failure)
        return [file for file in self._packing.arrived if file.failure is None]

    def _with_known_chunks(self, files: list[Arrived]) -> list[Arrived]:
        """Those whose unsent chunks the caller may rely on; gc does not remove these meanwhile."""
        asked = {
            piece.chunk
            for file in files
            if file.fields.chunks is not None
            for piece, chunk in zip(file.pieces, file.fields.chunks, strict=True)
            if not chunk.sent
        }
        if not asked:
            return files
        tx, row = self._tx, self._row
        allowed = content.reachable(tx, self._packing.principal, row.organisation, asked)
        refs = [*chunks.claim(tx, row.organisation, allowed).values(), *self._packing.written.refs]
        # A chunk has one length, whatever a list states: a version of another size could not be read.
        known = {Piece(ref.chunk, ref.length_bytes) for ref in refs}
        good = []
        for file in files:
            missing = 0 if file.fields.chunks is None else sum(piece not in known for piece in file.pieces)
            if missing:
                self._refuse(file, unknown_chunks(missing))
            else:
                good.append(file)
        return good

    def _within_quota(self, files: list[Arrived]) -> list[Arrived]:
        level = quota.tightest(self._tx, self._row, self._settings)
        if level is None:
            return files
        good = []
        for file in files:
            size_bytes = file.size_bytes
            if size_bytes > level.left_bytes:
                self._refuse(file, level.refusal(size_bytes))
            else:
                level.left_bytes -= size_bytes
                good.append(file)
        return good

    def _stage(self, files: list[Arrived]) -> None:
        ids = random_ids("ver", len(files))
        staged = [(self._version(file, None, id), file.pieces) for file, id in zip(files, ids, strict=True)]
        versions.insert_many(self._tx, self._row.feed, self._row.organisation, staged)
        for file, (version, _) in zip(files, staged, strict=True):
            self._succeed(file, "staged", None, version)

    def _create(self, files: list[Arrived]) -> list[Arrived]:
        """Creates the files whose names are free; the others are returned, to be stored one by one."""
        placed, later = self._placed(files)
        taken = self._taken(placed)
        node_ids = iter(random_ids("fil", len(placed)))
        version_ids = iter(random_ids("ver", len(placed)))
        made: list[tuple[Version, Sequence[Piece]]] = []
        nodes: list[NewFile] = []
        for file, folder, name in placed:
            key = (folder.id, name.key)
            if key in taken:
                later.append(file)
                continue
            if file.fields.base_version_id is not None:
                self._guard(file, lambda each: commit.require_no_base(each.fields.base_version_id))
                continue
            taken.add(key)
            node_id = next(node_ids)
            version = self._version(file, node_id, next(version_ids))
            made.append((version, file.pieces))
            nodes.append(NewFile(node_id, folder.id, folder.path, name, version))
            self._succeed(file, "created", node_id, version)
        versions.insert_many(self._tx, self._row.feed, self._row.organisation, made)
        tree_bulk.create_files(self._tx, self._row.share, self._packing.actor, nodes)
        if made:
            self._tx.bump(self._row.feed, versions.BYTES, sum(version.size_bytes for version, _ in made))
        return later

    def _placed(self, files: list[Arrived]) -> tuple[list[_Placed], list[Arrived]]:
        """Files with the folders that they go into, created where missing; and those that name a resource."""
        placed, later = [], []
        for file in files:
            if file.name is None:
                later.append(file)
                continue
            try:
                placed.append((file, self._folder(file.folder), file.name))
            except HeadwaterError as failure:
                self._refuse(file, failure)
        return placed, later

    def _folder(self, path: str) -> MadeFolder:
        """The folder at a stored path (empty: the root), created where missing. Raises: StateConflict, Invalid."""
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = self._index.make_folders(self._writer, path or "/")
            self._created |= {(node.parent, node.name_key) for node in known.created}
            self._created_ids |= {node.id for node in known.created}
        return known

    def _taken(self, placed: Sequence[_Placed]) -> set[tuple[str, str]]:
        """The names that exist in the folders of these; a folder of this upload holds only what it created there."""
        wanted: dict[str, list[str]] = {}
        for _, folder, name in placed:
            if folder.id not in self._created_ids:
                wanted.setdefault(folder.id, []).append(name.key)
        return self._created | {
            (parent, found[0])
            for parent, keys in wanted.items()
            for found in self._tx.rows_in(_TAKEN, keys, self._row.feed, parent)
        }

    def _update(self, file: Arrived) -> None:
        """Puts a file's content onto the existing one."""
        tx, row, base = self._tx, self._row, file.fields.base_version_id
        if file.name is None:
            node = paths.by_id(tx, row, file.fields.resource_id or "")
        else:
            found = nodes.child(tx, row.feed, self._folder(file.folder).id, file.name.key)
            if found is None:
                raise paths.name_taken(file.name.text)
            node = found
        current = versions.find(tx, row.feed, node.version) if node.version else None
        version = self._version(file, None, random_id("ver"))
        if current is not None and current.content_hash == version.content_hash:
            content.mend_by(tx, row, current, version)
            self._succeed(file, "unchanged", node.id, current)
            return
        versions.insert_many(tx, row.feed, row.organisation, [(version, file.pieces)])
        committed = commit.put_on(self._writer, row, node, version, base)
        self._succeed(file, committed.status, committed.node.id, committed.version)

    def _guard(self, file: Arrived, function: _FileFunction) -> None:
        """Runs one file's part; its failure becomes its result."""
        try:
            self._tx.attempt(lambda: function(file))
        except HeadwaterError as failure:
            self._refuse(file, failure)

    def _version(self, file: Arrived, node_id: str | None, version_id: str) -> Version:
        """A file's version: kept as the first of a new node, or staged."""
        tx, fields = self._tx, file.fields
        kept = node_id is not None
        modified_us = tx.now_us if file.modified_us is None else min(file.modified_us, tx.now_us)
        sha256 = None if fields.checksum_sha256 is None or fields.chunks is not None else fields.checksum_sha256.lower()
        return Version(
            version_id, node_id, 1 if kept else 0, "kept" if kept else "staged", file.size_bytes,
            versions.content_hash(file.pieces), sha256, fields.mime_type or DEFAULT_TYPE, modified_us, tx.now_us,
            self._packing.actor.user_id, self._packing.actor.device_id,
            None if kept else tx.now_us + self._settings.upload_idle_seconds * SECOND_US,
        )  # fmt: skip

    def _succeed(self, file: Arrived, status: str, node_id: str | None, version: Version) -> None:
        fields = file.fields
        self._results[file.number] = PackedResult(
            file.number, status, node_id, version.id, fields.path, fields.client_change_id,
            modified_at=format_seconds(version.modified_us),
        )  # fmt: skip

    def _refuse(self, file: Arrived, failure: HeadwaterError) -> None:
        self._fail(file, failure_of(failure))

    def _fail(self, file: Arrived, failure: FailureAnswer | None) -> None:
        fields = file.fields
        self._results[file.number] = PackedResult(
            file.number, "failed", None, None, fields.path, fields.client_change_id, failure
        )

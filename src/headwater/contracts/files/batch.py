"""Finds many files or chunks for one download, and gives them as one stream of lines and bytes.

Shape: a line of JSON and then its bytes for each, as in a packed upload. They come in the order in which they are
stored, so that neighbours are read together; the line says which of the request's it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headwater.base.errors import HeadwaterError, Invalid, NotFound, TooLarge
from headwater.base.settings_tree import FileSettings
from headwater.base.wire import encode, format_seconds
from headwater.contracts.files import access, content, trees
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.content_shapes import BatchFields, BatchHead
from headwater.contracts.files.packed import failure_of
from headwater.identity.principal import Principal
from headwater.store import chunks, tree
from headwater.store.database import Transaction
from headwater.store.pack_format import ChunkRef
from headwater.store.pack_place import PackPlace
from headwater.store.packs import read_each
from headwater.store.tree import ROOT

GATHER_BYTES = 256 * 1024

_NODES = "SELECT id, parent, version, type, trashed_us FROM nodes WHERE feed = ? AND id"
_VERSIONS = (
    "SELECT id, number, size_bytes, content_hash, sha256, mime_type, modified_us FROM versions WHERE feed = ? AND id"
)
_CHUNKS = "SELECT version, place, chunk, length_bytes FROM version_chunks WHERE feed = ? AND version"


class Item(NamedTuple):
    """What the stream gives for one thing that was asked for: its line, and where its bytes stand."""

    line: bytes
    size_bytes: int
    refs: Sequence[ChunkRef]

    @property
    def place(self) -> tuple[int, int]:
        """Where its bytes begin."""
        return (self.refs[0].pack, self.refs[0].start_bytes) if self.refs else (-1, 0)


def find(tx: Transaction, principal: Principal, fields: BatchFields, settings: FileSettings) -> list[Item]:
    """Everything that was asked for, in the order of the stream; what cannot be given has its reason.

    Raises: NotFound (the share), Invalid (nothing asked for, or more than one kind), TooLarge (too many).
    """
    row = access.require(tx, principal, fields.share_id, Access.READ)
    asked = [kind for kind in (fields.file_ids, fields.paths, fields.chunks) if kind is not None]
    if len(asked) != 1:
        raise Invalid.of("file_ids", "incorrect_value", "give one of file_ids, paths and chunks")
    if len(asked[0]) > settings.packed_files:
        raise TooLarge(f"one download gives at most {settings.packed_files} files")
    if fields.chunks is not None:
        items = _chunks(tx, principal, row, fields.chunks)
    elif fields.paths is not None:
        items = _files(tx, row, *_at_paths(tx, row, fields.paths), fields.paths)
    else:
        ids: list[str | None] = list(fields.file_ids or ())
        items = _files(tx, row, ids, {}, None)
    return sorted(items, key=lambda item: item.place)


def size_of(items: Sequence[Item]) -> int:
    """The length of the whole stream in bytes."""
    return sum(len(item.line) + item.size_bytes for item in items)


def frames(place: PackPlace, items: Sequence[Item]) -> Iterator[bytes]:
    """The stream in pieces. Raises: Damaged."""
    contents = read_each(place, [ref for item in items for ref in item.refs])
    gathered: list[bytes | memoryview] = []
    size_bytes = 0
    for item in items:
        gathered.append(item.line)
        size_bytes += len(item.line)
        for ref in item.refs:
            gathered.append(next(contents))
            size_bytes += ref.length_bytes
            if size_bytes >= GATHER_BYTES:
                yield b"".join(gathered)
                gathered, size_bytes = [], 0
    if gathered:
        yield b"".join(gathered)


def _chunks(tx: Transaction, principal: Principal, row: ShareRow, hashes: Sequence[str]) -> list[Item]:
    ids = [bytes.fromhex(text) for text in hashes]
    allowed = content.reachable(tx, principal, row.organisation, ids)
    found = chunks.locate(tx, row.organisation, allowed)
    items = []
    for index, (text, chunk) in enumerate(zip(hashes, ids, strict=True)):
        ref = found.get(chunk)
        if ref is None:
            items.append(_missing(BatchHead(index, 0, chunk=text), NotFound("no such chunk")))
        else:
            items.append(_item(BatchHead(index, ref.length_bytes, chunk=text), [ref]))
    return items


def _at_paths(
    tx: Transaction, row: ShareRow, paths: Sequence[str]
) -> tuple[list[str | None], dict[int, HeadwaterError]]:
    """The ids of what is at these paths; what is not there, with the reason."""
    ids: list[str | None] = []
    failures: dict[int, HeadwaterError] = {}
    for index, path in enumerate(paths):
        try:
            ids.append(trees.at_path(tx, row, path).id)
        except HeadwaterError as failure:
            ids.append(None)
            failures[index] = failure
    return ids, failures


def _files(
    tx: Transaction,
    row: ShareRow,
    ids: Sequence[str | None],
    failures: dict[int, HeadwaterError],
    paths: Sequence[str] | None,
) -> list[Item]:
    """The current contents of files."""
    alive = _Alive(tx, row.feed)
    wanted = list(dict.fromkeys(node_id for node_id in ids if node_id is not None))
    current = {
        node_id: version
        for node_id, parent, version, kind, trashed_us in tx.rows_in(_NODES, wanted, row.feed)
        if kind == "file" and trashed_us is None and alive.is_live(parent)
    }
    version_ids = list(current.values())
    heads = {found[0]: found for found in tx.rows_in(_VERSIONS, version_ids, row.feed)}
    refs = _refs(tx, row, version_ids)
    items = []
    for index, node_id in enumerate(ids):
        path = None if paths is None else paths[index]
        version = heads.get(current.get(node_id or "", ""))
        if version is None:
            failure = failures.get(index) or NotFound(f"no file {node_id!r}")
            items.append(_missing(BatchHead(index, 0, node_id, path), failure))
            continue
        head = BatchHead(
            index, version[2], node_id, path, version[0], version[1], version[5], format_seconds(version[6]),
            version[3], version[4],
        )  # fmt: skip
        items.append(_item(head, refs.get(version[0], [])))
    return items


def _refs(tx: Transaction, row: ShareRow, version_ids: Sequence[str]) -> dict[str, list[ChunkRef]]:
    """Where the chunks of versions stand, in their order."""
    rows = sorted((found[0], found[1], bytes(found[2])) for found in tx.rows_in(_CHUNKS, version_ids, row.feed))
    located = chunks.locate(tx, row.organisation, (chunk for _, _, chunk in rows))
    refs: dict[str, list[ChunkRef]] = {}
    for version, _, chunk in rows:
        refs.setdefault(version, []).append(located[chunk])
    return refs


class _Alive:
    """Whether folders live, each looked at once."""

    def __init__(self, tx: Transaction, feed: int) -> None:
        self._tx = tx
        self._feed = feed
        self._known: dict[str, bool] = {ROOT: True}

    def is_live(self, folder_id: str) -> bool:
        """True when neither the folder nor one above it is in the trash."""
        found = self._known.get(folder_id)
        if found is None:
            node = tree.find(self._tx, self._feed, folder_id)
            found = self._known[folder_id] = node is not None and tree.is_live(self._tx, self._feed, node)
        return found


def _item(head: BatchHead, refs: Sequence[ChunkRef]) -> Item:
    return Item(encode(head) + b"\n", head.size, refs)


def _missing(head: BatchHead, failure: HeadwaterError) -> Item:
    head.error = failure_of(failure)
    return _item(head, ())

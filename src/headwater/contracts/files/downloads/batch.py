"""Finds many files or chunks for one download; ``batch_frames`` sends them as one stream of lines and bytes.

Shape: a line of JSON and then its bytes for each, as in a packed upload. Items of one chunk are first, in the order
of their packs, so that neighbours are read together; the line states the item's index in the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.base.errors import HeadwaterError, Invalid, NotFound, TooLarge
from headwater.base.settings.table import FileSettings
from headwater.base.wire import format_seconds
from headwater.contracts.files import access, content
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.downloads.shapes import BatchFields, BatchHead
from headwater.contracts.files.packed.parser import failure_of
from headwater.contracts.files.paths import PathIndex
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.packs import chunks
from headwater.store.packs.format import ChunkRef
from headwater.store.tree import versions
from headwater.store.tree.nodes import ROOT, Node

_FILES = (
    "SELECT n.id, n.parent, v.id, v.number, v.size_bytes, v.content_hash, v.sha256, v.mime_type, v.modified_us"
    " FROM nodes n JOIN versions v ON v.feed = n.feed AND v.id = n.version"
    " WHERE n.feed = ? AND n.type = 'file' AND n.trashed_us IS NULL AND n.id"
)


_LAST = 1 << 63

MAX_CHUNKS = 100_000
"""Most chunks of all files of one download that consist of several; a file beyond it is downloaded alone."""

_TOO_MANY_CHUNKS = TooLarge(
    f"the larger files of one batch have at most {MAX_CHUNKS} chunks together; download this one alone",
    code="BATCH_TOO_LARGE",
)
_LAST_PLACE = "SELECT max(place) FROM version_chunks WHERE feed = ? AND version = ?"


class BatchItem(NamedTuple):
    """The part of the stream for one item of the request: its line, and then its bytes.

    The bytes are the one chunk ``ref``, or all chunks of the ``version``; without either there are none.
    """

    head: BatchHead
    ref: ChunkRef | None = None
    version: str = ""

    @property
    def place(self) -> tuple[int, int]:
        """The sort key of its place in the stream."""
        return (_LAST, 0) if self.ref is None else (self.ref.pack, self.ref.start_bytes)


class Contents(NamedTuple):
    """The items of one download, in the order of the stream."""

    row: ShareRow
    items: Sequence[BatchItem]


def find(tx: Transaction, principal: Principal, fields: BatchFields, settings: FileSettings) -> Contents:
    """The requested items; one that cannot be sent has its reason.

    Raises: NotFound (the share), Invalid (no item, or more than one kind), TooLarge (too many).
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
    return Contents(row, sorted(items, key=lambda item: item.place))


def _chunks(tx: Transaction, principal: Principal, row: ShareRow, hashes: Sequence[str]) -> list[BatchItem]:
    ids = [bytes.fromhex(text) for text in hashes]
    allowed = content.reachable(tx, principal, row.organisation, ids)
    found = chunks.locate(tx, row.organisation, allowed)
    items = []
    for index, (text, chunk) in enumerate(zip(hashes, ids, strict=True)):
        ref = found.get(chunk)
        if ref is None:
            items.append(_missing(BatchHead(index, 0, chunk=text), NotFound("no such chunk")))
        else:
            items.append(BatchItem(BatchHead(index, ref.length_bytes, chunk=text), ref))
    return items


def _at_paths(
    tx: Transaction, row: ShareRow, asked: Sequence[str]
) -> tuple[list[str | None], dict[int, HeadwaterError]]:
    """The ids of the nodes at these paths; the reason for each path without one."""
    ids: list[str | None] = []
    failures: dict[int, HeadwaterError] = {}
    index = PathIndex(tx, row)
    for number, path in enumerate(asked):
        try:
            ids.append(index.node_at(path).id)
        except HeadwaterError as failure:
            ids.append(None)
            failures[number] = failure
    return ids, failures


def _files(
    tx: Transaction,
    row: ShareRow,
    ids: Sequence[str | None],
    failures: dict[int, HeadwaterError],
    asked: Sequence[str] | None,
) -> list[BatchItem]:
    """The current contents of files."""
    alive = _Alive(tx, row)
    wanted = list(dict.fromkeys(node_id for node_id in ids if node_id is not None))
    found = {each[0]: each for each in tx.rows_in(_FILES, wanted, row.feed) if alive.is_live(each[1])}
    single = {each[0]: chunk for each in found.values() if (chunk := versions.only_chunk(each[5])) is not None}
    located = chunks.locate(tx, row.organisation, single.values())
    items, left_chunks = [], MAX_CHUNKS
    for index, node_id in enumerate(ids):
        path = None if asked is None else asked[index]
        file = found.get(node_id or "")
        if file is None:
            failure = failures.get(index) or NotFound(f"no file {node_id!r}")
            items.append(_missing(BatchHead(index, 0, node_id, path), failure))
            continue
        _, _, version, number, size_bytes, content_hash, sha256, mime_type, modified_us = file
        head = BatchHead(
            index, size_bytes, node_id, path, version, number, mime_type, format_seconds(modified_us), content_hash,
            sha256,
        )  # fmt: skip
        ref = located.get(single.get(file[0], b""))
        if ref is not None or not size_bytes:
            items.append(BatchItem(head, ref))
            continue
        left_chunks -= 1 + (tx.value(_LAST_PLACE, row.feed, version) or 0)
        if left_chunks < 0:
            items.append(_missing(head, _TOO_MANY_CHUNKS))
            left_chunks = 0
        else:
            items.append(BatchItem(head, version=version))
    return items


class _Alive:
    """The folders that are live; each is read once, however many files are below it."""

    def __init__(self, tx: Transaction, row: ShareRow) -> None:
        self._index = PathIndex(tx, row)
        self._known: dict[str, bool] = {ROOT: True}

    def is_live(self, folder_id: str) -> bool:
        """True when neither the folder nor one above it is in the trash."""
        if folder_id in self._known:
            return self._known[folder_id]
        above: list[Node] = []
        for folder in self._index.chain(folder_id).nodes():
            if folder.id in self._known:
                break
            above.append(folder)
        found = self._known.get(above[-1].parent, True) if above else False
        for folder in reversed(above):
            found = self._known[folder.id] = found and folder.trashed_us is None
        return self._known.setdefault(folder_id, False)


def _missing(head: BatchHead, failure: HeadwaterError) -> BatchItem:
    head.size, head.error = 0, failure_of(failure)
    return BatchItem(head)

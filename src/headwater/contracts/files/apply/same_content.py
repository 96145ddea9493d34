"""Finds staged versions that have the bytes of the file that they are meant for, cut otherwise.

A content is named by its chunks. An upload that was resumed, or that arrived in parts of another size, is cut at
other places than the same bytes in one piece, so equal names mean equal bytes, but not the other way round. Such
versions are compared before the transaction in which equal content is no conflict; a version that turns out equal takes
over the chunks of the other one, and with them its name. The bytes that one request compares are bounded; beyond
the bound nothing is known to be equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from blake3 import blake3

from headwater.base.errors import Damaged, HeadwaterError, Invalid
from headwater.contracts.files import access, content
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.apply.shapes import Apply, ChangeItem
from headwater.contracts.files.names import stored_path
from headwater.contracts.files.paths import PathIndex
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_range
from headwater.store.tree import nodes, versions
from headwater.store.tree.versions import Piece, Version

Stretch = tuple[Sequence[Piece], Sequence[Piece]]
"""The same bytes of two contents, if these are equal: chunks that end together and nowhere in between."""

COMPARED_BYTES = 1024 * 1024 * 1024
"""The most bytes that are read of the versions of one request, to compare them."""

SLICE_BYTES = 64 * 1024 * 1024
"""Bytes that one request compares before another one has its turn."""

COMPARED_CHUNKS = 200_000
"""The most chunks of both sides together that are looked up for one request."""


class Candidate(NamedTuple):
    """A staged version that may have the content of one in a file's history."""

    row: ShareRow
    version_id: str
    like: Version

    @property
    def feed(self) -> int:
        """The feed of the share."""
        return self.row.feed


class Reading(NamedTuple):
    """The stretches to read of a pair; None when the two are not the same or it cannot be known."""

    stretches: Sequence[Stretch] | None
    refs: dict[bytes, ChunkRef]
    chunks: int

    @property
    def size_bytes(self) -> int:
        """The bytes to read of each side."""
        return sum(piece.length_bytes for ours, _ in self.stretches or () for piece in ours)


def candidates(tx: Transaction, principal: Principal, asked: Apply) -> list[Candidate]:
    """The versions to compare before these changes are applied, each pair once; none for a caller without WRITE.

    All versions of the request are read in one statement, and so are all its files.
    """
    try:
        row = access.require(tx, principal, asked.share_id, Access.WRITE)
    except HeadwaterError:
        return []
    changes = [change for change in asked.changes if change.version_id]
    paths, rows = PathIndex(tx, row), Rows(tx, row.feed)
    rows.read_nodes(change.resource_id for change in changes)
    named = [node.version for change in changes if (node := rows.node(change.resource_id))]
    rows.read_versions([*(id for change in changes for id in (change.version_id, change.base_version_id)), *named])
    found: dict[tuple[str, str], Candidate] = {}
    for change in changes:
        for candidate in _candidates(paths, rows, principal, change):
            found.setdefault((candidate.version_id, candidate.like.id), candidate)
    return list(found.values())


def plan_reading(tx: Transaction, candidate: Candidate, limit: int) -> Reading:
    """The stretches to read of a pair; nothing of one with more than ``limit`` chunks."""
    ours = versions.pieces(tx, candidate.feed, candidate.version_id, limit=limit + 1)
    theirs = versions.pieces(tx, candidate.feed, candidate.like.id, limit=max(0, limit + 1 - len(ours)))
    if len(ours) + len(theirs) > limit:
        return Reading(None, {}, len(ours) + len(theirs))
    version = versions.find(tx, candidate.feed, candidate.version_id)
    known = version is not None and version.sha256 is not None and version.sha256 == candidate.like.sha256
    parts = [] if known else stretches(ours, theirs)
    wanted = {piece.chunk: piece for mine, _ in parts or () for piece in mine}
    try:
        refs = content.refs_of(tx, candidate.row.organisation, list(wanted.values()))
    except Damaged:
        parts, refs = None, []
    return Reading(parts, {ref.chunk: ref for ref in refs}, len(ours) + len(theirs))


def comparison(place: PackBackend, reading: Reading) -> Iterator[bool | None]:
    """True or False at its end: the two have the same bytes or not; None each time ``SLICE_BYTES`` were read.

    The bytes of the staged version are cut as the other one is, and each cut is compared with that chunk's id. So the
    other one is not read, and damage in it hides no equality.
    """
    if reading.stretches is None:
        yield False
        return
    read_bytes = 0
    for ours, theirs in reading.stretches:
        cutting = _Cutting(theirs)
        try:
            for piece in read_range(place, [reading.refs[piece.chunk] for piece in ours]):
                if not cutting.take(piece):
                    yield False
                    return
                read_bytes += len(piece)
                if read_bytes >= SLICE_BYTES:
                    read_bytes = 0
                    yield None
        except Damaged:
            # A reader of the content gets the error; here it is only not known to be equal.
            yield False
            return
    yield True


class _Cutting:
    """The comparison of bytes with the ids of chunks that follow each other."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._waiting = list(reversed(pieces))
        self._digest = blake3()
        self._left_bytes = pieces[0].length_bytes

    def take(self, content: bytes) -> bool:
        """Reads the next bytes; False when a chunk that they end has another id."""
        view = memoryview(content)
        while len(view) >= self._left_bytes:
            self._digest.update(view[: self._left_bytes])
            view = view[self._left_bytes :]
            if self._digest.digest() != self._waiting.pop().chunk:
                return False
            if not self._waiting:
                return True
            self._digest, self._left_bytes = blake3(), self._waiting[-1].length_bytes
        self._digest.update(view)
        self._left_bytes -= len(view)
        return True


def share_chunks(tx: Transaction, candidate: Candidate) -> None:
    """Gives a staged version the chunks of the one that it is equal to, if that one still exists.

    Where the older one is damaged it is the other way round: the bytes that were just sent make it whole.
    """
    tx.lock(candidate.feed)
    # Of a file that was purged meanwhile only a part of the chunks may be left.
    if candidate.like.node is None or nodes.find(tx, candidate.feed, candidate.like.node) is None:
        return
    staged = versions.find(tx, candidate.feed, candidate.version_id)
    if staged is None or versions.find(tx, candidate.feed, candidate.like.id) is None:
        return
    if content.has_damage(tx, candidate.row, candidate.like.id):
        versions.mend(tx, candidate.feed, candidate.like, staged)
    else:
        versions.take_over(tx, candidate.feed, candidate.version_id, candidate.like)


def stretches(ours: Sequence[Piece], theirs: Sequence[Piece]) -> list[Stretch] | None:
    """The places where two contents of one size are cut otherwise; None when a chunk in both proves them unequal."""
    found: list[Stretch] = []
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    waiting = (list(reversed(ours)), list(reversed(theirs)))
    ends = [0, 0]
    while waiting[0] or waiting[1]:
        behind = 0 if waiting[0] and (ends[0] <= ends[1] or not waiting[1]) else 1
        piece = waiting[behind].pop()
        sides[behind].append(piece)
        ends[behind] += piece.length_bytes
        if ends[0] == ends[1]:
            if sides[0] != sides[1]:
                if len(sides[0]) == len(sides[1]) == 1:
                    return None
                found.append(sides)
            sides = ([], [])
    return found


def _candidates(paths: PathIndex, rows: Rows, principal: Principal, change: ChangeItem) -> Iterator[Candidate]:
    version = rows.version(change.version_id)
    if version is None or version.state != "staged" or version.user_id != principal.user_id or not version.size_bytes:
        return
    for other_id in _opponents(paths, rows, change):
        other = rows.version(other_id)
        if other is not None and _may_be_same(version, other):
            yield Candidate(paths.row, version.id, other)


def _opponents(paths: PathIndex, rows: Rows, change: ChangeItem) -> Iterator[str]:
    """The versions that a change is compared with: the current one and the base, or that of the name's owner."""
    node, row = rows.node(change.resource_id), paths.row
    if node is not None:
        if node.version is not None:
            yield node.version
        if change.base_version_id is not None and change.base_version_id != node.version:
            yield change.base_version_id
    elif change.new_path is not None:
        try:
            path = stored_path(change.new_path, row.policy)
        except Invalid:
            return
        found = paths.find_node(path)
        if found is not None and found.version is not None:
            yield found.version


def _may_be_same(version: Version, other: Version) -> bool:
    """True when the other one is in a history, and names, sizes and checksums do not prove them unequal."""
    if other.state != "kept" or version.size_bytes != other.size_bytes or version.content_hash == other.content_hash:
        return False
    if version.sha256 and other.sha256 and version.sha256 != other.sha256:
        return False
    return versions.only_chunk(version.content_hash) is None or versions.only_chunk(other.content_hash) is None

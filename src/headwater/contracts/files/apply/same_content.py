"""Finds out whether a staged version has the bytes of the file that it is meant for, though they are cut otherwise.

A content is named by its chunks. An upload that broke off and went on, or that came in parts of another size, is cut at
other places than the same bytes in one piece, so equal names mean equal bytes, but not the other way round. Such
versions are compared before the transaction in which equal content is no conflict; a version that turns out equal takes
over the chunks of the other one, and with them its name. What one request may have compared is bounded; what is more
is not known to be equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from blake3 import blake3

from headwater.base.errors import Damaged, HeadwaterError, Invalid
from headwater.contracts.files import access, content
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.apply.shapes import Apply, ChangeItem
from headwater.contracts.files.names import name_key, parent_path, split_path, stored_path
from headwater.contracts.files.paths import PathIndex
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import ROOT
from headwater.store.tree.versions import Piece, Version

Stretch = tuple[Sequence[Piece], Sequence[Piece]]
"""The same bytes of two contents, if these are equal: chunks that end together and nowhere in between."""

_STAGED = "SELECT id FROM versions WHERE feed = ? AND id = ? AND state = 'staged' AND user_id = ? AND size_bytes > 0"


COMPARED_BYTES = 1024 * 1024 * 1024
"""So much of the versions of one request is read, of each side, to find out whether they are the same."""

COMPARED_CHUNKS = 200_000
"""So many chunks of both sides together are looked up for one request."""


class Candidate(NamedTuple):
    """A staged version that may have the content of one that is kept."""

    feed: int
    organisation: str
    version_id: str
    like: Version


class Reading(NamedTuple):
    """What decides a doubt: the stretches to read, None when the two are not the same or it cannot be known."""

    stretches: Sequence[Stretch] | None
    refs: dict[bytes, ChunkRef]
    chunks: int

    @property
    def size_bytes(self) -> int:
        """How much is to be read of each side."""
        return sum(piece.length_bytes for ours, _ in self.stretches or () for piece in ours)


def doubts(tx: Transaction, principal: Principal, asked: Apply) -> list[Candidate]:
    """Which versions have to be compared before these changes are applied, each pair once.

    Nothing for who may not apply them.
    """
    try:
        row = access.require(tx, principal, asked.share_id, Access.WRITE)
    except HeadwaterError:
        return []
    trails = PathIndex(tx, row)
    found: dict[tuple[str, str], Candidate] = {}
    for change in asked.changes:
        if change.version_id:
            for doubt in _doubts(trails, row, principal, change):
                found.setdefault((doubt.version_id, doubt.like.id), doubt)
    return list(found.values())


def look(tx: Transaction, doubt: Candidate, limit: int) -> Reading:
    """What has to be read of a pair; nothing of one with more than ``limit`` chunks."""
    ours = versions.pieces(tx, doubt.feed, doubt.version_id, limit=limit + 1)
    theirs = versions.pieces(tx, doubt.feed, doubt.like.id, limit=max(0, limit + 1 - len(ours)))
    if len(ours) + len(theirs) > limit:
        return Reading(None, {}, len(ours) + len(theirs))
    version = versions.find(tx, doubt.feed, doubt.version_id)
    known = version is not None and version.sha256 is not None and version.sha256 == doubt.like.sha256
    parts = [] if known else stretches(ours, theirs)
    wanted = {piece.chunk: piece for side in parts or () for pieces in side for piece in pieces}
    try:
        refs = content.refs_of(tx, doubt.organisation, list(wanted.values()))
    except Damaged:
        parts, refs = None, []
    return Reading(parts, {ref.chunk: ref for ref in refs}, len(ours) + len(theirs))


def is_same(place: PackBackend, reading: Reading) -> bool:
    """True when the two have the same bytes; reads what is cut otherwise, up to the first difference."""
    if reading.stretches is None:
        return False
    try:
        return all(
            _digest(place, reading, ours) == _digest(place, reading, theirs) for ours, theirs in reading.stretches
        )
    except Damaged:
        # Whoever asks for the content is told; here it is only not known to be equal.
        return False


def adopt(tx: Transaction, doubt: Candidate) -> None:
    """Let a staged version have the chunks of the one that it is equal to, if that one is still there."""
    tx.lock(doubt.feed)
    # Of a file that was purged meanwhile only a part of the chunks may be left.
    if doubt.like.node is not None and nodes.find(tx, doubt.feed, doubt.like.node) is not None:
        versions.take_over(tx, doubt.feed, doubt.version_id, doubt.like)


def stretches(ours: Sequence[Piece], theirs: Sequence[Piece]) -> list[Stretch] | None:
    """Where two contents of one size are cut otherwise; None when a chunk that both have tells them apart."""
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


def _doubts(trails: PathIndex, row: ShareRow, principal: Principal, change: ChangeItem) -> Iterator[Candidate]:
    tx, feed, version_id = trails.tx, row.feed, change.version_id or ""
    if tx.row(_STAGED, feed, version_id, principal.user_id) is None:
        return
    version = versions.find(tx, feed, version_id)
    for other_id in _opponents(trails, row, change):
        other = versions.find(tx, feed, other_id)
        if version is not None and other is not None and _may_be_same(version, other):
            yield Candidate(feed, row.organisation, version_id, other)


def _opponents(trails: PathIndex, row: ShareRow, change: ChangeItem) -> Iterator[str]:
    """The versions that a change is held against: the present one and the base, or who has the name."""
    node = nodes.find(trails.tx, row.feed, change.resource_id) if change.resource_id else None
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
        names = split_path(path)
        trail = trails.to(parent_path(path))
        parent = trail.node.id if trail.node else ROOT
        found = nodes.child(trails.tx, row.feed, parent, name_key(names[-1], row.policy)) if names else None
        if found is not None and found.version is not None:
            yield found.version


def _may_be_same(version: Version, other: Version) -> bool:
    """True when the other one is kept, and neither their names nor their sizes nor their checksums tell."""
    if other.state != "kept" or version.size_bytes != other.size_bytes or version.content_hash == other.content_hash:
        return False
    if version.sha256 and other.sha256 and version.sha256 != other.sha256:
        return False
    return versions.only_chunk(version.content_hash) is None or versions.only_chunk(other.content_hash) is None


def _digest(place: PackBackend, reading: Reading, pieces: Sequence[Piece]) -> bytes:
    digest = blake3()
    content.digest_into(place, [reading.refs[piece.chunk] for piece in pieces], digest)
    return digest.digest()

"""Finds out whether a staged version has the bytes of the file that it is meant for, though they are cut otherwise.

A content is named by its chunks. An upload that broke off and went on, or that came in parts of another size, is cut at
other places than the same bytes in one piece, so equal names mean equal bytes, but not the other way round. Such
versions are compared before the transaction in which equal content is no conflict; a version that turns out equal takes
over the chunks of the other one, and with them its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from blake3 import blake3

from headwater.base.errors import Damaged, HeadwaterError, Invalid
from headwater.contracts.files import access, content
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.names import name_key, parent_path, split_path, stored_path
from headwater.contracts.files.sync_shapes import Apply, ChangeItem
from headwater.contracts.files.trails import Trails
from headwater.contracts.files.trees import policy
from headwater.identity.principal import Principal
from headwater.store import tree, versions
from headwater.store.database import Transaction
from headwater.store.pack_format import ChunkRef
from headwater.store.pack_place import PackPlace
from headwater.store.packs import read_range
from headwater.store.tree import ROOT
from headwater.store.versions import Piece, Version

Stretch = tuple[Sequence[Piece], Sequence[Piece]]
"""The same bytes of two contents, if these are equal: chunks that end together and nowhere in between."""

_STAGED = "SELECT id FROM versions WHERE feed = ? AND id = ? AND state = 'staged' AND user_id = ? AND size_bytes > 0"


class Doubt(NamedTuple):
    """A staged version that may have the content of one that is kept, and the stretches that decide it."""

    feed: int
    version_id: str
    like: Version
    stretches: Sequence[Stretch]
    refs: dict[bytes, ChunkRef]


def doubts(tx: Transaction, principal: Principal, asked: Apply) -> list[Doubt]:
    """What has to be read before these changes are applied; nothing for who may not apply them."""
    try:
        row = access.require(tx, principal, asked.share_id, Access.WRITE)
    except HeadwaterError:
        return []
    trails = Trails(tx, row)
    found = (_doubt(trails, row, principal, change) for change in asked.changes if change.version_id)
    return [doubt for doubt in found if doubt is not None]


def is_same(place: PackPlace, doubt: Doubt) -> bool:
    """True when the two have the same bytes; reads what is cut otherwise, up to the first difference."""
    try:
        return all(_digest(place, doubt, ours) == _digest(place, doubt, theirs) for ours, theirs in doubt.stretches)
    except Damaged:
        # Whoever asks for the content is told; here it is only not known to be equal.
        return False


def adopt(tx: Transaction, doubt: Doubt) -> None:
    """Let a staged version have the chunks of the one that it is equal to."""
    tx.lock(doubt.feed)
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


def _doubt(trails: Trails, row: ShareRow, principal: Principal, change: ChangeItem) -> Doubt | None:
    tx, feed, version_id = trails.tx, row.feed, change.version_id or ""
    if tx.row(_STAGED, feed, version_id, principal.user_id) is None:
        return None
    version = versions.find(tx, feed, version_id)
    for other_id in _opponents(trails, row, change):
        other = versions.find(tx, feed, other_id)
        if version is None or other is None or not _may_be_same(version, other):
            continue
        ours, theirs = (versions.pieces(tx, feed, each) for each in (version_id, other_id))
        parts = [] if version.sha256 and version.sha256 == other.sha256 else stretches(ours, theirs)
        if parts is not None:
            wanted = {piece.chunk: piece for side in parts for pieces in side for piece in pieces}
            try:
                refs = content.refs_of(tx, row.organisation, list(wanted.values()))
            except Damaged:
                continue
            return Doubt(feed, version_id, other, parts, {ref.chunk: ref for ref in refs})
    return None


def _opponents(trails: Trails, row: ShareRow, change: ChangeItem) -> Iterator[str]:
    """The versions that a change is held against: the present one and the base, or who has the name."""
    node = tree.find(trails.tx, row.feed, change.resource_id) if change.resource_id else None
    if node is not None:
        if node.version is not None:
            yield node.version
        if change.base_version_id is not None and change.base_version_id != node.version:
            yield change.base_version_id
    elif change.new_path is not None:
        try:
            path = stored_path(change.new_path, policy(row))
        except Invalid:
            return
        names = split_path(path)
        trail = trails.to(parent_path(path))
        parent = trail.node.id if trail.node else ROOT
        found = tree.child(trails.tx, row.feed, parent, name_key(names[-1], policy(row))) if names else None
        if found is not None and found.version is not None:
            yield found.version


def _may_be_same(version: Version, other: Version) -> bool:
    """True when the other one is kept, and neither their names nor their sizes nor their checksums tell."""
    if other.state != "kept" or version.size_bytes != other.size_bytes or version.content_hash == other.content_hash:
        return False
    if version.sha256 and other.sha256 and version.sha256 != other.sha256:
        return False
    return versions.only_chunk(version.content_hash) is None or versions.only_chunk(other.content_hash) is None


def _digest(place: PackPlace, doubt: Doubt, pieces: Sequence[Piece]) -> bytes:
    digest = blake3()
    for part in read_range(place, [doubt.refs[piece.chunk] for piece in pieces]):
        digest.update(part)
    return digest.digest()

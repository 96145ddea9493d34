"""Creates many files at once: two statements for all of them, each change encoded by its shape.

It writes the rows that ``TreeWriter.create`` writes for one file after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec

from headwater.base.wire import encode, format_seconds
from headwater.store.database import Transaction
from headwater.store.log import changes
from headwater.store.tree import nodes
from headwater.store.tree.nodes import Actor, Name, Share
from headwater.store.tree.versions import Version


class NewFile(msgspec.Struct, gc=False):
    """A file to create among many: its id, its folder, the folder's path (empty: the root), name and first version."""

    id: str
    parent: str
    folder_path: str
    name: Name
    version: Version


def create_files(tx: Transaction, share: Share, actor: Actor, files: Sequence[NewFile]) -> None:
    """Creates many files at once, each with its change ``created``, in their order."""
    if not files:
        return
    first = changes.next_position(tx, share.feed, len(files))
    first_number = tx.bump(share.feed, "number:node", len(files)) - len(files) + 1
    feed, at_us = share.feed, tx.at_us
    tx.run_many(
        nodes.INSERT,
        [
            (
                feed, file.id, number, "file", file.parent, file.name.text, file.name.key, file.version.id, position,
                None, None, at_us, at_us, at_us,
            )
            for position, number, file in zip(count(first), count(first_number), files, strict=False)
        ],
    )  # fmt: skip
    wires = _created_wires(share, actor, files, first, format_seconds(at_us))
    tx.run_many(
        changes.INSERT,
        [
            (feed, position, "file", file.id, 0, 0, tx.now_us, wire)
            for position, file, wire in zip(count(first), files, wires, strict=False)
        ],
    )


class _Metadata(msgspec.Struct, gc=False):
    """The metadata that ``writer.change`` writes of a file's version and its folder."""

    size: int
    mime_type: str
    checksum_sha256: str | None
    content_hash: str
    modified_at: str
    version_number: int
    parent_id: str | None
    device_id: str | None


class _Created(msgspec.Struct, gc=False):
    """The content of ``writer.change`` for a new file: a Struct costs a third, which matters for thousands."""

    id: str
    tenant_id: str
    share_id: str
    resource_type: str
    resource_id: str
    change_type: str
    changed_by: str
    changed_at: str
    old_path: None
    new_path: str
    version_id: str
    metadata: _Metadata
    position: int


def _created_wires(share: Share, actor: Actor, files: Sequence[NewFile], first: int, at: str) -> list[bytes]:
    """The wire bytes of the changes of new files, at the positions from ``first`` on."""
    wires = []
    for position, file in zip(count(first), files, strict=False):
        version = file.version
        metadata = _Metadata(
            version.size_bytes, version.mime_type, version.sha256, version.content_hash,
            format_seconds(version.modified_us), version.number, file.parent or None, actor.device_id or None,
        )  # fmt: skip
        change_id = f"chg_{share.feed}_{position}"
        path = f"{file.folder_path}/{file.name.text}"
        created = _Created(
            change_id, share.organisation, share.id, "file", file.id, "created", actor.user_id, at, None, path,
            version.id, metadata, position,
        )  # fmt: skip
        wires.append(encode(created))
    return wires

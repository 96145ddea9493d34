"""The door of removal for good: the trash of a share emptied, its old versions pruned. Source: readings, section 7."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.retention import empty_trash, prune_versions
from headwater.contracts.files.retention.empty_trash import Emptied
from headwater.contracts.files.retention.prune_versions import KeepRule, Pruned
from headwater.contracts.files.retention.shapes import YEARS_SECONDS, EmptiedTrash, PrunedHistory, read_prune
from headwater.store.database import Transaction
from headwater.store.tree import versions
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http.paging import integer
from headwater.web.reply import Reply
from headwater.web.services import Services

MOST_AT_ONCE = 20_000
"""Files and folders, or versions, that one request removes; its answer states whether there are more."""

PAUSE_SECONDS = 0.005
"""The pause between two steps, in which other writers have their turn."""

Counts = TypeVar("Counts", Emptied, Pruned)


class RetentionDoor:
    """The handlers below ``/api/v1/shares/{share_id}`` that remove something for good."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        # One at a time: each uses a thread for as long as it takes, and downloads need threads too.
        self._turn = asyncio.Semaphore(1)

    async def empty(self, call: Call) -> Reply:
        """DELETE /{id}/trash: all that is in the trash, or what has been there for longer."""
        row = await self._share(call)
        older = integer(call.query, "older_than_seconds", 0, 0, YEARS_SECONDS)
        done = await self._run(
            lambda breathe: empty_trash.empty(self._database, row.feed, older, most_nodes=MOST_AT_ONCE, breathe=breathe)
        )
        return await self._emptied(call, row, done)

    async def remove(self, call: Call) -> Reply:
        """DELETE /{id}/trash/{node_id}: one file or folder of the trash, with all that is below it."""
        row = await self._share(call)
        done = await self._run(
            lambda breathe: empty_trash.remove_one(
                self._database, row.feed, call.params["node_id"], most_nodes=MOST_AT_ONCE, breathe=breathe
            )
        )
        return await self._emptied(call, row, done)

    async def prune(self, call: Call) -> Reply:
        """POST /{id}/versions/prune: the old versions that a rule does not keep."""
        fields = call.decoded(read_prune)
        rule = KeepRule.asked(fields.keep_last, fields.keep_younger_seconds)
        row = await self._share(call)
        if fields.dry_run:
            async with self._turn:
                doomed = await asyncio.to_thread(lambda: list(prune_versions.plan(self._database, row.feed, rule)))
            done = Pruned(len(doomed), sum(version.size_bytes for version in doomed), complete=True)
        else:
            done = await self._run(
                lambda breathe: prune_versions.prune(
                    self._database, row.feed, rule, most_versions=MOST_AT_ONCE, breathe=breathe
                )
            )
        return await call.act(
            lambda tx: _used_bytes_after(tx, row),
            lambda used: reply.json(
                PrunedHistory(done.versions, done.freed_bytes, used, done.complete, fields.dry_run)
            ),
        )

    async def _share(self, call: Call) -> ShareRow:
        """The share. Raises: NotFound, Forbidden (the caller may not manage it)."""
        return await call.read(lambda tx: access.require(tx, call.principal, call.params["share_id"], Access.MANAGE))

    async def _run(self, function: Callable[[Callable[[Counts], None]], Counts]) -> Counts:
        """Runs a removal on a thread, in steps; a caller that leaves ends it between two of them."""
        left = threading.Event()

        def breathe(_so_far: Counts) -> None:
            if left.wait(PAUSE_SECONDS):
                raise _CallerLeftError

        async with self._turn:
            try:
                return await asyncio.to_thread(function, breathe)
            except asyncio.CancelledError:
                left.set()
                raise

    async def _emptied(self, call: Call, row: ShareRow, done: Emptied) -> Reply:
        used_bytes = await call.read(lambda tx: _used_bytes(tx, row))
        return reply.json(EmptiedTrash(done.removed, done.kept, done.freed_bytes, used_bytes, done.complete))


def _used_bytes_after(tx: Transaction, row: ShareRow) -> int:
    # The answer that is stored for the same key is part of what freed room.
    tx.frees_room()
    return _used_bytes(tx, row)


def _used_bytes(tx: Transaction, row: ShareRow) -> int:
    return tx.counter(row.feed, versions.BYTES)


class _CallerLeftError(Exception):
    """Ends a removal between two steps: its caller left."""

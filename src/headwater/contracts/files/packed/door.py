"""The door of packed uploads: many small files in one request. Source: readings, section 7, "Content"."""

from __future__ import annotations

import asyncio

from headwater.base.errors import Invalid, TooLarge
from headwater.contracts.files import access, quota
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.caller import actor_of, device_of
from headwater.contracts.files.packed import checksums, writer
from headwater.contracts.files.packed.parser import Arrived, Unpacker
from headwater.contracts.files.packed.shapes import PackedAnswer, PackedResult
from headwater.contracts.files.packed.writer import Packing
from headwater.contracts.files.uploads.ingest import commit_or_discard, pour
from headwater.store.database import Transaction
from headwater.store.packs.writer import Written
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http.paging import boolean
from headwater.web.reply import Reply
from headwater.web.services import Services


class PackedDoor:
    """The handler of ``/api/v1/uploads/packed``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.files

    async def upload(self, call: Call) -> Reply:
        """POST /packed?share_id=: many files in one stream; one result each."""
        share_id = call.query.get("share_id")
        if not share_id:
            raise Invalid.of("share_id", "missing", "name the share with ?share_id=")

        stage_only = boolean(call.query, "stage")

        def share(tx: Transaction) -> ShareRow:
            return access.require(tx, call.principal, share_id, Access.WRITE)

        row = await call.read(share)
        unpacker, arrived, written = await self._receive(call, row)
        async with commit_or_discard(self._services.packs, written) as pending:
            await self._compare_listed(call, row, arrived, written)
            device_id = device_of(call, last=call.query.get("device_id"))
            # A repeated request is compared with this in place of the body, which is not stored.
            call.body = unpacker.digest

            def transaction(tx: Transaction) -> list[PackedResult]:
                # The caller's access is read anew after the stream.
                actor = actor_of(tx, call.principal, device_id)
                packed = Packing(call.principal, actor, arrived, written, stage_only)
                return writer.store(tx, share(tx), packed, self._settings)

            await call.recheck()
            return await call.act(pending.watch(transaction), _answer, feed=row.feed)

    async def _receive(self, call: Call, row: ShareRow) -> tuple[Unpacker, list[Arrived], Written]:
        """Writes the stream to a pack. Raises: Malformed, TooLarge."""
        declared = call.header(b"content-length")
        if declared is not None and int(declared) > self._settings.packed_bytes:
            raise TooLarge(
                f"a packed upload has at most {self._settings.packed_bytes} bytes; {declared} were announced"
            )
        digested = b"idempotency-key" in call.headers
        room = await call.read(lambda tx: quota.estimate(tx, row, self._settings))
        packs, settings = self._services.packs, self._settings
        async with (
            call.counted_as_upload(),
            Unpacker(packs, row.organisation, row.policy, settings, digested=digested, room=room) as unpacker,
        ):
            await pour(call.stream(), unpacker.take)
            arrived, written = await asyncio.to_thread(unpacker.finish)
        return unpacker, arrived, written

    async def _compare_listed(self, call: Call, row: ShareRow, arrived: list[Arrived], written: Written) -> None:
        """Compares files that were given as lists of chunks with their checksums, those known before included."""
        files = checksums.to_compare(arrived)
        if not files:
            return
        refs = await call.read(lambda tx: checksums.locate(tx, call.principal, row.organisation, files), slow=True)
        refs |= {ref.chunk: ref for ref in written.refs}
        async with call.counted_as_upload():
            for file in checksums.affordable(files, refs, self._settings.packed_bytes):
                await asyncio.to_thread(checksums.compare, self._services.packs, file, refs)


def _answer(results: list[PackedResult]) -> Reply:
    return reply.json(PackedAnswer(results))

"""The door of apply and of conflicts; decides nothing. Source: files contract, "apply", "Conflicts"."""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec import to_builtins
from msgspec.json import decode

from headwater.base.clock import SECOND_US
from headwater.base.errors import Invalid, StateConflict, SyncConflict, VersionStale
from headwater.base.wire import encode
from headwater.contracts.files import access
from headwater.contracts.files.access import Access
from headwater.contracts.files.apply import conflicts, rules, same_content, shapes
from headwater.contracts.files.apply.conflicts import ConflictFilter
from headwater.contracts.files.apply.inputs import Strategy
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.apply.rules import Verdict
from headwater.contracts.files.apply.same_content import Candidate, Reading
from headwater.contracts.files.apply.shapes import Apply, FileConflict
from headwater.contracts.files.caller import device_of
from headwater.contracts.files.devices import rules as device_rules
from headwater.contracts.files.paths import PathIndex
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.errors import problem, status_of
from headwater.web.http.paging import integer
from headwater.web.reply import Reply
from headwater.web.services import Services

_MAX_LISTED = 5000
_COMPARISONS_AT_ONCE = 2
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_UNRESOLVED: dict[str, type[StateConflict]] = {rules.CONFLICT: SyncConflict, rules.STALE: VersionStale}


class ApplyDoor:
    """The handlers of ``/api/v1/sync/apply`` and ``/conflicts``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._gate = asyncio.Semaphore(_COMPARISONS_AT_ONCE)

    async def apply(self, call: Call) -> Reply:
        """POST /apply: a device's changes, each in exactly one of three lists."""
        asked = call.decoded(shapes.read_apply)
        keep_us = self._services.settings.idempotency.keep_seconds * SECOND_US

        def transaction(tx: Transaction) -> Verdict:
            return rules.apply(tx, call.principal, asked, tx.at_us - keep_us)

        await self._compare(call, asked)
        return await call.act(transaction, lambda verdict: _reply_of(verdict, call.request_id))

    async def _compare(self, call: Call, asked: Apply) -> None:
        """Finds the staged versions whose bytes the share has, cut otherwise, before they are applied."""
        if not any(change.version_id for change in asked.changes):
            return
        many = len(asked.changes) > 1
        candidates = await call.read(lambda tx: same_content.candidates(tx, call.principal, asked), slow=many)
        if not candidates:
            return
        equal: dict[str, Candidate] = {}
        left_bytes, left_chunks = same_content.COMPARED_BYTES, same_content.COMPARED_CHUNKS
        for candidate in candidates:
            if candidate.version_id in equal or left_chunks < 0:
                continue
            async with self._gate:
                reading = await call.read(
                    partial(same_content.plan_reading, candidate=candidate, limit=left_chunks), slow=True
                )
                left_chunks -= reading.chunks
                if reading.size_bytes > left_bytes:
                    continue
                left_bytes -= reading.size_bytes
            if await self._is_same(reading):
                equal[candidate.version_id] = candidate
        await call.recheck()
        for candidate in equal.values():
            await call.write(partial(same_content.share_chunks, candidate=candidate), feed=candidate.feed)

    async def _is_same(self, reading: Reading) -> bool:
        """Compares a pair, a slice at each turn: a large one does not keep the others waiting."""
        steps = same_content.comparison(self._services.packs, reading)
        found: bool | None = None
        while found is None:
            async with self._gate:
                found = await asyncio.to_thread(next, steps)
        return found

    async def conflicts(self, call: Call) -> Reply:
        """GET /conflicts: conflicts, the newest first."""
        share_id, device_id = call.query.get("share_id"), call.query.get("device_id")
        resolved = _truth(call, "include_resolved")
        limit = integer(call.query, "limit", 1000, 1, _MAX_LISTED)

        def transaction(tx: Transaction) -> list[FileConflict]:
            if share_id is not None:
                rows = [access.require(tx, call.principal, share_id, Access.READ)]
            else:
                rows = access.readable(tx, call.principal)
            wanted = ConflictFilter(_own(tx, call.principal, device_id), resolved, limit=limit)
            own = tuple(device.device_id for device in device_rules.of_caller(tx, call.principal))
            found = []
            for row in rows:
                writes = access.access_of(tx, call.principal, row) >= Access.WRITE
                found += conflicts.of_share(tx, row.feed, wanted if writes else wanted._replace(devices=own))
            found.sort(key=lambda conflict: (-conflict.created_us, conflict.feed, -conflict.number))
            paths = {row.feed: (PathIndex(tx, row), Rows(tx, row.feed)) for row in rows}
            return [conflicts.shown(*paths[conflict.feed], conflict) for conflict in found[:limit]]

        return reply.json(await call.read(transaction, slow=True))

    async def resolve(self, call: Call) -> Reply:
        """POST /conflicts/{conflict_id}/resolve: settle one."""
        resolution = _strategy(call)
        device_id = device_of(call)

        def transaction(tx: Transaction) -> FileConflict:
            own = device_rules.own_id(tx, call.principal, device_id)
            return conflicts.resolve(tx, call.principal, call.params["conflict_id"], resolution, own)

        return await call.act(transaction, reply.json)


def _reply_of(verdict: Verdict, request_id: str) -> Reply:
    """The three lists: with 200, or inside a problem when a single or atomic request ended unresolved."""
    if verdict.unresolved is None:
        return reply.json(verdict.answer)
    lists = to_builtins(verdict.answer)
    failure = _UNRESOLVED.get(verdict.unresolved, StateConflict)("the changes were not applied as asked", extra=lists)
    answer = problem(failure, status_of(failure), request_id)
    # The members 'errors' of a problem and of this contract are one: each entry names its item as a field, too.
    errors = [{"field": f"changes[{error['index']}]", **error} for error in lists["errors"]]
    return answer._replace(body=encode(decode(answer.body) | {"errors": errors}))


def _strategy(call: Call) -> Strategy:
    text = call.query.get("resolution")
    if text is None:
        raise Invalid.of("resolution", "missing", "this parameter is required")
    try:
        return Strategy(text)
    except ValueError:
        choices = ", ".join(strategy.value for strategy in Strategy if strategy is not Strategy.MANUAL)
        raise Invalid.of("resolution", "incorrect_value", f"must be one of {choices}") from None


def _truth(call: Call, name: str) -> bool:
    text = call.query.get(name, "false").lower()
    if text not in _TRUTHS:
        raise Invalid.of(name, "incorrect_value", "must be true or false")
    return _TRUTHS[text]


def _own(tx: Transaction, principal: Principal, device_id: str | None) -> str | None:
    """The client's own id of a device that may be named by ours."""
    own = next((d.device_id for d in device_rules.of_caller(tx, principal) if d.id == device_id), None)
    return own or device_id

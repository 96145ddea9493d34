"""The server's own sweep of unused content: in small steps, once a period over all processes, ended at any step.

One counter of the database is the instant at which the next sweep is due. A process that finds it past sets it a
little ahead, moves it on while sweeping, and at the end sets it to the next period. When a process dies in the middle,
another one takes the turn soon after. A second counter is the instant at which the last sweep ended.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from headwater.base.clock import SECOND_US, monotonic_seconds
from headwater.base.log import get_log
from headwater.contracts.files.retention import gc, purge_shares
from headwater.store.database import Transaction
from headwater.store.packs.damage import DamageLedger
from headwater.store.packs.gc import Swept
from headwater.web.edge.metrics import Metrics
from headwater.web.services import Services

BREATH_SECONDS = 0.02
"""The pause between two steps of a sweep, in which only requests use the disk and the writer."""

CLAIM_US = 900 * SECOND_US
"""The time for which a sweep claims the turn."""

_COUNTER = "gc_due_us"
_FINISHED = "gc_finished_us"
log = get_log(__name__)


class _EndedError(Exception):
    """A sweep ends early: the server stops, or another process took the turn."""


class GcJob:
    """Sweeps when it is due, and shows the last sweep of this process in the metrics."""

    def __init__(self, services: Services, metrics: Metrics, ledger: DamageLedger) -> None:
        self._services = services
        self._ledger = ledger
        self._every_us = services.settings.files.gc_every_seconds * SECOND_US
        self._swept = Swept()
        self._finished_us = 0
        self._seconds = 0.0
        self._runs = 0
        self._deleted_bytes = 0
        metrics.gauge("headwater_gc_runs", "Sweeps of unused content that this process finished.", lambda: self._runs)
        metrics.gauge(
            "headwater_gc_finished_timestamp_seconds",
            "When a sweep was last finished, by whichever process, seconds since 1970; 0 while unknown.",
            lambda: self._finished_us / SECOND_US,
        )
        metrics.gauge("headwater_gc_seconds", "How long the last sweep of this process took.", lambda: self._seconds)
        metrics.gauge(
            "headwater_gc_freed_bytes", "Bytes of files that this sweep removed.", lambda: self._swept.freed_bytes
        )
        metrics.gauge(
            "headwater_gc_damaged_packs",
            "Packs that this sweep could not read and so left alone.",
            lambda: len(self._swept.damaged),
        )

        metrics.gauge(
            "headwater_deleted_shares_bytes",
            "Bytes of versions in deleted shares, which no quota counts, when this process last looked (each hour).",
            lambda: self._deleted_bytes,
        )

    async def run(self) -> Swept | None:
        """Sweeps if it is due and no other process does; None when it was not due or was ended."""
        self._deleted_bytes = await self._services.database.read(purge_shares.held_bytes)
        await asyncio.to_thread(self._ledger.count)
        claimed_us = await self._services.database.write(self.claim)
        if claimed_us is None:
            self._finished_us = await self._services.database.read(lambda tx: tx.counter(0, _FINISHED))
            return None
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(self._sweep, claimed_us, stopped)
        except asyncio.CancelledError:
            stopped.set()
            raise

    def claim(self, tx: Transaction) -> int | None:
        """Takes the turn, if it is due; returns its end, None when it is not due or another process has it."""
        due_us = tx.counter(0, _COUNTER)
        # Further ahead than any process sets it: the clock or the setting has changed since.
        if tx.now_us < due_us <= tx.now_us + max(self._every_us, CLAIM_US):
            return None
        return tx.bump(0, _COUNTER, tx.now_us + CLAIM_US - due_us)

    def _sweep(self, claimed_us: int, stopped: threading.Event) -> Swept | None:
        services, began = self._services, monotonic_seconds()
        turn = _GcTurn(services, claimed_us, stopped)
        try:
            cleaned = gc.clean(services.database, services.packs, services.settings.files, turn.breathe)
            finished_us = turn.end(self._every_us)
        except _EndedError:
            return None
        swept = cleaned.swept
        self._swept, self._seconds, self._finished_us = swept, monotonic_seconds() - began, finished_us
        self._runs += 1
        log.info(
            "content_swept",
            purged_shares_count=cleaned.purged_shares,
            purged_nodes_count=cleaned.purged_nodes,
            pruned_versions_count=cleaned.pruned_versions,
            sweep_seconds=round(self._seconds, 3),
            freed_bytes=swept.freed_bytes,
            dropped_bytes=swept.dropped_bytes,
            dropped_chunks_count=swept.dropped_chunks,
            rewritten_packs_count=swept.rewritten_packs,
            deleted_packs_count=swept.deleted_packs + swept.deleted_orphans,
        )
        for damage in swept.damaged:
            pack, _, reason = damage.partition(": ")
            log.warning("pack_damaged", pack_id=pack, reason=reason)
        return swept


class _GcTurn:
    """The turn of a sweep under way."""

    def __init__(self, services: Services, claimed_us: int, stopped: threading.Event) -> None:
        self._services = services
        self._claimed_us = claimed_us
        self._stopped = stopped

    def breathe(self) -> None:
        """Pauses for a moment, and keeps the turn. Raises: _EndedError."""
        if self._stopped.wait(BREATH_SECONDS):
            raise _EndedError
        if self._claimed_us - self._services.clock() < CLAIM_US // 2:
            self.move(CLAIM_US)

    def move(self, ahead_us: int) -> None:
        """Sets the next due instant so far ahead. Raises: _EndedError (the turn was lost meanwhile)."""
        self._write(partial(self._set_due, ahead_us=ahead_us))

    def end(self, ahead_us: int) -> int:
        """Sets the next due instant, and stores and returns that of the sweep's end. Raises: _EndedError."""

        def transaction(tx: Transaction) -> int | None:
            due_us = self._set_due(tx, ahead_us)
            if due_us is not None:
                tx.bump(0, _FINISHED, tx.now_us - tx.counter(0, _FINISHED))
            return due_us

        self._write(transaction)
        return self._claimed_us - ahead_us

    def _set_due(self, tx: Transaction, ahead_us: int) -> int | None:
        """The next due instant; None when another process has the turn."""
        if tx.counter(0, _COUNTER) != self._claimed_us:
            return None
        return tx.bump(0, _COUNTER, tx.now_us + ahead_us - self._claimed_us)

    def _write(self, function: Callable[[Transaction], int | None]) -> None:
        due_us = self._services.database.write_now(function)
        if due_us is None:
            raise _EndedError
        self._claimed_us = due_us

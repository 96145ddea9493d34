"""Assembles one server: database, identity, doors, edge; the only place where the layers meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from headwater.base.clock import Clock, now_us
from headwater.base.settings.table import Settings
from headwater.feed.cursor import CursorCodec
from headwater.feed.wake import Wake
from headwater.identity import meta
from headwater.installation.first_start import KEYS
from headwater.server.gc_job import GcJob
from headwater.server.registry import contracts, kinds
from headwater.store.database import Database
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.damage import DamageLedger
from headwater.web.auth import Authenticator
from headwater.web.contract import Contract
from headwater.web.edge.app import Edge
from headwater.web.edge.metrics import Metrics
from headwater.web.services import HomeFeeds, Services


@dataclass(frozen=True)
class Server:
    """An assembled server, ready for ASGI."""

    edge: Edge
    services: Services
    contracts: tuple[Contract, ...]
    gc_job: GcJob


def assemble(database: Database, settings: Settings, packs: PackBackend, *, clock: Clock = now_us) -> Server:
    """Assembles the server over an open database that had its first start, and its packs."""
    keys = database.read_now(lambda tx: [meta.secret(tx, name) for name in KEYS])
    epoch, past = database.read_now(lambda tx: (meta.epoch(tx), meta.past_epochs(tx)))
    wake = Wake()
    database.on_commit(wake.moved)
    authenticator = Authenticator(database, settings, clock, keys[1])
    cursors, homes = CursorCodec(keys[0], epoch, past), HomeFeeds(database)
    services = Services(database, settings, clock, wake, cursors, authenticator, keys[2], packs, homes, kinds())
    ledger = DamageLedger(database)
    packs.guard.on_damage(ledger.report)
    metrics = Metrics()
    metrics.gauge(
        "headwater_damaged_chunks",
        "Chunks of content that were found damaged and not sent again, when this process last looked (each hour).",
        lambda: ledger.marked,
    )
    doors = contracts(services, metrics)
    return Server(Edge(services, doors, metrics), services, doors, GcJob(services, metrics, ledger))


def attach(server: Server) -> None:
    """Attaches the server to the running event loop; called once when it starts to serve."""
    server.services.wake.attach(asyncio.get_running_loop())

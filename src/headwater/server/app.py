"""Puts one server together: database, identity, doors, edge; the only place where the layers meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from headwater.base.clock import Clock, now_us
from headwater.base.settings.table import Settings
from headwater.feed.cursor import CursorCodec
from headwater.feed.wake import Wake
from headwater.identity import meta, organisations, tokens
from headwater.identity.principal import DEFAULT_ORGANISATION
from headwater.identity.roles import SCOPES, Role
from headwater.server.registry import contracts
from headwater.server.sweeper import Sweeper
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackPlace
from headwater.web.auth import Authenticator
from headwater.web.contract import Contract
from headwater.web.edge.app import Edge
from headwater.web.edge.metrics import Metrics
from headwater.web.services import HomeFeeds, Services

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - a file's name
"""Where the first start keeps the admin token, in the data folder, readable by its owner only."""


KEYS = ("cursor_key", "jwt_key", "master_key")
"""The secrets of an installation: what signs cursors, short-lived JWTs, and everything else."""


@dataclass(frozen=True)
class Server:
    """A server that is ready to be served over ASGI."""

    edge: Edge
    services: Services
    contracts: tuple[Contract, ...]
    sweeper: Sweeper


def first_start(database: Database, folder: Path) -> str | None:
    """Make the organisation ``default`` and its admin token unless they exist; the new token's text, or None.

    The token is kept in ``admin.token`` before it is good, so that it cannot be lost.
    """

    def work(tx: Transaction) -> str | None:
        meta.epoch(tx)
        for name in KEYS:
            meta.secret(tx, name)
        if organisations.find(tx, DEFAULT_ORGANISATION) is not None:
            return None
        organisations.create(tx, DEFAULT_ORGANISATION)
        text, _ = tokens.create(
            tx,
            DEFAULT_ORGANISATION,
            Role.GLOBAL_ADMIN,
            SCOPES,
            label="admin (first start)",
            user_name="admin",
        )
        path = folder / ADMIN_TOKEN_FILE
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text + "\n", "ascii")
        return text

    return database.write_now(work)


def assemble(database: Database, settings: Settings, packs: PackPlace, *, clock: Clock = now_us) -> Server:
    """The server over an open database that had its first start, and the packs beside it."""
    keys = database.read_now(lambda tx: [meta.secret(tx, name) for name in KEYS])
    epoch = database.read_now(meta.epoch)
    wake = Wake()
    database.on_commit(wake.moved)
    authenticator = Authenticator(database, settings, clock, keys[1])
    cursors, homes = CursorCodec(keys[0], epoch), HomeFeeds(database)
    services = Services(database, settings, clock, wake, cursors, authenticator, keys[2], packs, homes)
    metrics = Metrics()
    doors = contracts(services, metrics)
    return Server(Edge(services, doors, metrics), services, doors, Sweeper(services, metrics))


def attach(server: Server) -> None:
    """Tie the server to the running event loop; called once when it starts to serve."""
    server.services.wake.attach(asyncio.get_running_loop())

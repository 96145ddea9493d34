"""One assembled server over a fresh database, with a clock that the test moves and tokens of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater.base.settings.table import Settings
from headwater.identity import organisations, tokens
from headwater.identity.roles import SCOPES, Role
from headwater.installation.first_start import first_start
from headwater.server.app import Server, assemble, attach
from headwater.store.database import Database, Transaction
from headwater.store.packs.folder import PackFolder
from tests.support.clock import MovableClock
from tests.support.loop import LoopThread
from tests.support.server.asgi import Client


class ServerUnderTest:
    """A running server without a network.

    ``client`` calls it as the admin of the first start, ``public`` without a token; ``token`` makes callers.
    """

    def __init__(self, server: Server, admin_token: str, loop: LoopThread, clock: MovableClock) -> None:
        self.server = server
        self.edge = server.edge
        self.services = server.services
        self.database: Database = server.services.database
        self.settings: Settings = server.services.settings
        self.admin_token = admin_token
        self.loop = loop
        self.clock = clock
        self.client = Client(server.edge, loop, admin_token)
        self.public = Client(server.edge, loop)

    def token(
        self,
        organisation: str = "default",
        role: str | Role = Role.GLOBAL_ADMIN,
        scopes: Iterable[str] = SCOPES,
        **more: Any,
    ) -> str:
        """A token's text; the organisation is made when it is unknown. ``more``: as identity.tokens.create."""
        return self.token_row(organisation, role, scopes, **more)[0]

    def token_row(
        self,
        organisation: str = "default",
        role: str | Role = Role.GLOBAL_ADMIN,
        scopes: Iterable[str] = SCOPES,
        **more: Any,
    ) -> tuple[str, tokens.Token]:
        """A token's text, and its row (``.id`` to revoke it by)."""
        wanted = Role[role.upper()] if isinstance(role, str) else role

        def transaction(tx: Transaction) -> tuple[str, tokens.Token]:
            if organisations.find(tx, organisation) is None:
                organisations.create(tx, organisation)
            return tokens.create(tx, organisation, wanted, scopes, **more)

        return self.database.write_now(transaction)

    def caller(self, organisation: str = "default", role: str | Role = Role.GLOBAL_ADMIN, **more: Any) -> Client:
        """A client with a new token."""
        return self.client.as_token(self.token(organisation, role, **more))

    def revoke(self, token_id: str) -> None:
        """End a token."""
        self.database.write_now(lambda tx: tokens.revoke(tx, token_id))


@contextmanager
def serving(database: Database, settings: Settings, clock: MovableClock, folder: Path) -> Iterator[ServerUnderTest]:
    """A server over an open database, from its first start to its end."""
    admin_token = first_start(database, folder) or (folder / "admin.token").read_text("ascii").strip()
    loop = LoopThread()
    try:
        server = assemble(database, settings, PackFolder(folder / "packs"), clock=clock)

        async def begin() -> None:
            attach(server)

        loop.run(begin())
        yield ServerUnderTest(server, admin_token, loop, clock)
    finally:
        loop.close()

"""Every route of the assembled server, for tests that hold all doors to one rule, those to come included."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from headwater.base.settings.table import Settings
from headwater.web.contract import Contract, Route
from tests.support.clock import MovableClock
from tests.support.server.serving import serving
from tests.support.store.databases import fresh_sqlite


class Door(NamedTuple):
    """A route with the contract that it belongs to; ``path`` is its single form."""

    contract: Contract
    route: Route

    @property
    def path(self) -> str:
        return self.contract.prefixes[0] + self.route.path

    @property
    def name(self) -> str:
        return f"{self.route.method} {self.path}"


@cache
def contracts() -> tuple[Contract, ...]:
    """What a server with the default settings serves; its handlers must not be called."""
    clock = MovableClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        fresh_sqlite(Path(folder), clock) as database,
        serving(database, Settings(), clock, Path(folder)) as under,
    ):
        return under.server.contracts


def doors() -> list[Door]:
    """Every route, by contract."""
    return [Door(contract, route) for contract in contracts() for route in contract.routes]

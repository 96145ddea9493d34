"""The contracts that are served: a new one is a new folder, an import here and an entry in ``CONTRACTS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from headwater.contracts.cache import contract as cache
from headwater.contracts.contacts import contract as contacts
from headwater.contracts.files import contract as files
from headwater.contracts.record_feed import contract as record_feed
from headwater.contracts.sell import contract as sell
from headwater.contracts.terminology import contract as terminology
from headwater.feed.kinds import RecordKind
from headwater.server.docs_door import Documentation
from headwater.server.docs_door import build as documentation
from headwater.server.operator_door import build as operations
from headwater.web.contract import Contract
from headwater.web.edge.metrics import Metrics
from headwater.web.services import Services


class ContractModule(Protocol):
    """The exports of each contract's ``contract.py``."""

    @property
    def BUILDERS(self) -> tuple[Callable[[Services], Contract], ...]:  # noqa: N802 - a module's constant
        """The builders of the contract's doors, in the order in which the API's description lists them."""

    @property
    def KINDS(self) -> tuple[RecordKind, ...]:  # noqa: N802 - a module's constant
        """The contract's records that devices may write."""


CONTRACTS: tuple[ContractModule, ...] = (
    contacts,
    cache,
    sell,
    files,
    terminology,
    record_feed,
)


def kinds() -> tuple[RecordKind, ...]:
    """The kinds of record that devices may write through the record feed, of all contracts."""
    return tuple(kind for module in CONTRACTS for kind in module.KINDS)


def contracts(services: Services, metrics: Metrics) -> tuple[Contract, ...]:
    """Builds every door of one server, the operator's own among them."""
    pages = Documentation(services.settings)
    doors = [build(services) for module in CONTRACTS for build in module.BUILDERS]
    pages.contracts = (*doors, operations(services, metrics), documentation(pages))
    return pages.contracts

"""The contracts that are served: a new one is a new folder and one line here."""

from __future__ import annotations

from headwater.contracts.cache.contract import build as cache
from headwater.contracts.cache.contract import build_reading as cache_reading
from headwater.contracts.contacts.contract import build as contacts
from headwater.contracts.sell.contract import build as sell
from headwater.server.operations import build as operations
from headwater.web.contract import Contract
from headwater.web.metrics import Metrics
from headwater.web.services import Services

BUILDERS = (
    contacts,
    cache,
    cache_reading,
    sell,
)


def contracts(services: Services, metrics: Metrics) -> tuple[Contract, ...]:
    """Every door of one server, the operator's own among them."""
    return (*(build(services) for build in BUILDERS), operations(services, metrics))

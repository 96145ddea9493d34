"""The contracts that are served: a new one is a new folder and one line here."""

from __future__ import annotations

from dataclasses import replace

from headwater.contracts.cache.contract import build as cache
from headwater.contracts.cache.contract import build_reading as cache_reading
from headwater.contracts.cache.kinds import CACHED_CONTACT_KIND, NOTE_KIND, link_notes
from headwater.contracts.contacts.contract import build as contacts
from headwater.contracts.contacts.contract import build_chapters as chapters
from headwater.contracts.contacts.kind import CONTACT_KIND
from headwater.contracts.files.contract import build_batches as file_batches
from headwater.contracts.files.contract import build_downloads as file_downloads
from headwater.contracts.files.contract import build_uploads as file_uploads
from headwater.contracts.files.device_contract import build as file_devices
from headwater.contracts.files.share_contract import build as file_shares
from headwater.contracts.files.sync_contract import build as file_sync
from headwater.contracts.files.sync_contract import build_changes as file_changes
from headwater.contracts.record_feed.contract import build as record_feed
from headwater.contracts.sell.contract import build as sell
from headwater.contracts.terminology.contract import build as terminology
from headwater.contracts.terminology.contract import build_labels as terminology_labels
from headwater.server.docs_door import Documentation
from headwater.server.docs_door import build as documentation
from headwater.server.operator_door import build as operations
from headwater.web.contract import Contract
from headwater.web.edge.metrics import Metrics
from headwater.web.services import Services

BUILDERS = (
    contacts,
    chapters,
    cache,
    cache_reading,
    sell,
    file_batches,
    file_devices,
    file_downloads,
    file_uploads,
    file_shares,
    file_changes,
    file_sync,
    terminology,
    terminology_labels,
)

WRITTEN_KINDS = (replace(CONTACT_KIND, after=link_notes), CACHED_CONTACT_KIND, NOTE_KIND)
"""The kinds of record that devices may write through the record feed."""


def contracts(services: Services, metrics: Metrics) -> tuple[Contract, ...]:
    """Every door of one server, the operator's own among them."""
    pages = Documentation(services.settings)
    doors = [build(services) for build in BUILDERS]
    own = (record_feed(services, WRITTEN_KINDS), operations(services, metrics), documentation(pages))
    pages.contracts = (*doors, *own)
    return pages.contracts

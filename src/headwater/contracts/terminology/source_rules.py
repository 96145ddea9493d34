"""The decisions about the source of labels: the sources that may be named, and what naming one changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from headwater.base.errors import Invalid
from headwater.contracts.terminology import label_rules, outbound, queries
from headwater.contracts.terminology.queries import FILE, OWN, URL, LabelSource
from headwater.contracts.terminology.shapes import SourceKind
from headwater.store.database import Transaction


def check(source: SourceKind, location: str, allowed_hosts: Sequence[str]) -> None:
    """Refuses a source that could never be fetched. Raises: Invalid, StateConflict (the host is not listed)."""
    if source == URL:
        outbound.target(location, allowed_hosts)
    elif source == FILE and (not PurePath(location).is_absolute() or "\0" in location):
        raise Invalid.of("file", "incorrect_value", "name the file by its full path")


def name(tx: Transaction, feed: int, organisation: str, source: SourceKind, location: str) -> LabelSource:
    """Names the source of an organisation's labels, which passed ``check``.

    Another source than before makes the labels stale. Returning to our own stores what was last published, unless
    other labels are stored here. Naming the same one again only lets the next fetch happen at once. A fetch under
    way meanwhile loses its lease, and its result is dropped.
    """
    kept = queries.kept(tx, organisation)
    location = "" if source == OWN else location
    if (source, location) != (kept.source, kept.location):
        kept = kept._replace(source=source, location=location, etag=None)
        if source == OWN:
            kept = label_rules.adopt_published(tx, feed, kept)
        kept = label_rules.renewed(kept, tx.now_us)
        queries.keep(tx, kept)
    found = queries.state(tx, organisation)
    if found is not None:
        queries.keep_attempt(tx, found.tracked._replace(failures=0, retry_us=None, lease=None, lease_until_us=None))
    queries.wake(tx, feed)
    return kept

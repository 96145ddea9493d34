"""Organisations, the tenants. Each has one feed, ``org:<id>``."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import FieldError, Invalid, NotFound
from headwater.base.ids import MAX_ID_LENGTH, is_acceptable
from headwater.store.database import Transaction
from headwater.store.log import feeds


class Organisation(NamedTuple):
    """A tenant; ``created_us`` in microseconds UTC since 1970."""

    id: str
    name: str
    created_us: int


def find(tx: Transaction, id: str) -> Organisation | None:
    """Returns the organisation with this id, or None."""
    row = tx.row("SELECT id, name, created_us FROM organisations WHERE id = ?", id)
    return None if row is None else Organisation(*row)


def read_all(tx: Transaction) -> list[Organisation]:
    """Returns every organisation, by id."""
    return [Organisation(*row) for row in tx.rows("SELECT id, name, created_us FROM organisations ORDER BY id")]


def create(tx: Transaction, id: str, name: str = "") -> Organisation:
    """Creates an organisation and its feed; the name defaults to the id. Raises: Invalid for an unusable id."""
    if not is_acceptable(id):
        detail = f"an organisation id has 1-{MAX_ID_LENGTH} printable characters"
        raise Invalid(detail, fields=(FieldError("org_id", "incorrect_value", detail),))
    tx.run("INSERT INTO organisations (id, name, created_us) VALUES (?, ?, ?)", id, name or id, tx.now_us)
    feeds.create(tx, "org:" + id, id, history=False)
    return Organisation(id, name or id, tx.now_us)


def feed_of(tx: Transaction, id: str) -> int:
    """Returns the number of the organisation's feed. Raises: NotFound for an unknown organisation."""
    feed = feeds.organisation_feed(tx, id)
    if feed is None:
        raise NotFound(f"no organisation {id!r}")
    return feed


def provide(tx: Transaction, id: str, *, open_provisioning: bool, field: str = "org_id") -> int:
    """Returns the feed of the organisation that a body names; open provisioning creates an unknown organisation.

    Raises: Invalid naming ``field`` when the organisation is unknown and provisioning is closed.
    """
    feed = feeds.organisation_feed(tx, id)
    if feed is not None:
        return feed
    if not open_provisioning:
        detail = f"unknown organisation {id!r}; an operator adds it with 'headwater org create'"
        raise Invalid(detail, fields=(FieldError(field, "unknown", detail),))
    create(tx, id)
    return feed_of(tx, id)

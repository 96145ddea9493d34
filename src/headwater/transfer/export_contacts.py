"""Exports the contacts of an organisation, a page in each transaction."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from headwater.base.errors import HeadwaterError
from headwater.contracts.contacts import file_keys
from headwater.contracts.contacts.interchange.record import ContactRow
from headwater.identity import organisations
from headwater.store.database import Database, Transaction


class OrganisationUnnamed(HeadwaterError):
    """An export that names no organisation where there are several."""

    code = "ORGANISATION_UNNAMED"
    title = "Organisation not named"
    hint = "Name the organisation with --org; 'headwater org list' lists them."


PAGE_ROWS = 100
"""The contacts of one page; each may have a photo of some hundred kilobytes."""

PERSONS_PAGE_ROWS = 1000


def only_organisation(tx: Transaction) -> str:
    """The organisation of an installation that has one alone. Raises: OrganisationUnnamed."""
    ids = [organisation.id for organisation in organisations.read_all(tx)]
    if len(ids) == 1:
        return ids[0]
    shown = ", ".join(ids[:20]) + (", ..." if len(ids) > 20 else "")
    raise OrganisationUnnamed(f"there are {len(ids)} organisations ({shown}); name the one to export")


def contacts_of(database: Database, feed: int) -> Iterator[ContactRow]:
    """All contacts of a feed by id, a page at a time."""
    return _pages(database, feed, PAGE_ROWS, with_keys=True)


def persons_of(database: Database, feed: int, without: Collection[str]) -> Iterator[ContactRow]:
    """All contacts of a feed but those of some ids, without their keys and further lines."""
    found = _pages(database, feed, PERSONS_PAGE_ROWS, with_keys=False)
    return (contact for contact in found if contact.contact_id not in without)


def _pages(database: Database, feed: int, rows: int, *, with_keys: bool) -> Iterator[ContactRow]:
    after = ""
    while page := database.read_now(lambda tx, after=after: file_keys.page(tx, feed, after, rows, with_keys=with_keys)):  # type: ignore[misc]
        yield from page
        after = page[-1].contact_id or ""


def private_file(path: Path) -> BinaryIO:
    """Creates a file that only its owner may read: it contains personal data."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Writes a file that replaces ``path`` once it is whole, and that is removed after a failure."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with private_file(part) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

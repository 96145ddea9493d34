"""Imports the contacts of a file into an organisation, each batch in one transaction, and exports them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from headwater.base.errors import HeadwaterError, NotFound
from headwater.contracts.contacts import file_keys, upsert
from headwater.contracts.contacts.interchange.csv.format import CsvRows, read_csv
from headwater.contracts.contacts.interchange.csv.rejects import RejectsFile
from headwater.contracts.contacts.interchange.jsonl import read_jsonl
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed
from headwater.contracts.contacts.interchange.vcard.format import read_vcard
from headwater.contracts.contacts.upsert import Plan, RowOutcome
from headwater.identity import organisations
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds

BATCH_ROWS = 1000

BATCH_CHARACTERS = 8_000_000
"""The characters that end a batch of any number of rows, so that memory does not grow with long lines."""

EXAMPLES_SHOWN = 20
"""The most changes, and the most refused rows, in a summary."""


class FileUnsuitable(HeadwaterError):
    """A file whose name or options do not fit the command."""

    code = "FILE_UNSUITABLE"
    title = "File not suitable"
    hint = "Contacts are imported from and exported to .csv, .vcf and .jsonl."


class RefusedRow(NamedTuple):
    """A row of the file that was not imported: its number, the field at fault, and the reason."""

    row: int
    field: str
    reason: str


@dataclass
class ImportSummary:
    """The result of an import, or of its dry run."""

    effects: Counter[str] = field(default_factory=Counter)
    warnings: int = 0
    new_chapters: list[str] = field(default_factory=list)
    changes: list[RowOutcome] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)

    def add(self, planned: Plan) -> None:
        """Counts a batch."""
        self.new_chapters += [name for name in planned.new_chapters if name not in self.new_chapters]
        for outcome in planned.outcomes:
            self.effects[outcome.effect] += 1
            if outcome.changed and len(self.changes) < EXAMPLES_SHOWN:
                self.changes.append(outcome)

    def refuse(self, parsed: Parsed) -> None:
        """Counts a row that its reader or a rule refused."""
        if len(self.refused) < EXAMPLES_SHOWN:
            reason = next(problem for problem in parsed.problems if problem.refuses)
            self.refused.append(RefusedRow(parsed.row_number, reason.field, reason.detail))


@dataclass(frozen=True)
class ImportRun:
    """The parameters of every batch of an import."""

    database: Database
    feed: int
    open_provisioning: bool
    replace_extra: bool
    dry_run: bool

    def run(self, rows: list[Parsed]) -> Plan:
        """Imports a batch in one transaction, or only plans it."""

        def transaction(tx: Transaction) -> Plan:
            plan_or_upsert = upsert.plan if self.dry_run else upsert.upsert
            return plan_or_upsert(
                tx, self.feed, rows, open_provisioning=self.open_provisioning, replace_extra=self.replace_extra
            )

        if self.dry_run:
            return self.database.read_now(transaction)
        return self.database.write_now(transaction, feed=self.feed)


class Rejects:
    """The file of refused rows, created with the first of them; only its owner may read it."""

    def __init__(self, path: Path, *, stored: bool) -> None:
        self.header: tuple[str, ...] = ("raw",)
        self.delimiter = ","
        self.count = 0
        self._path = path
        self._stored = stored
        self._stream: BinaryIO | None = None
        self._file: RejectsFile | None = None

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._file is not None and self._stream is not None:
            self._file.close()
            self._stream.close()

    def add(self, parsed: Parsed) -> None:
        """Writes a refused row."""
        self.count += 1
        if not self._stored:
            return
        if self._file is None:
            self._stream = _private(self._path)
            self._file = RejectsFile(self._stream, self.header, delimiter=self.delimiter)
        self._file.add(parsed)


def batches(rows: Iterator[Parsed]) -> Iterator[list[Parsed]]:
    """The rows in batches of bounded size, in their order."""
    batch: list[Parsed] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(map(len, row.raw))
        if len(batch) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def import_batch(run: ImportRun, batch: list[Parsed], summary: ImportSummary, rejects: Rejects) -> None:
    """Imports one batch, and counts the outcome of each row."""
    accepted = [row for row in batch if row.accepted]
    planned = run.run(accepted)
    summary.add(planned)
    refusals = {outcome.row_number: outcome.problem for outcome in planned.outcomes if outcome.problem is not None}
    for row in batch:
        summary.warnings += sum(not problem.refuses for problem in row.problems)
        late = refusals.get(row.row_number) if row.accepted else None
        if row.accepted and late is None:
            continue
        summary.effects["refused"] += not row.accepted
        whole = Parsed(
            row_number=row.row_number, contact=row.contact, raw=row.raw,
            problems=(*row.problems, late) if late else row.problems,
        )  # fmt: skip
        summary.refuse(whole)
        rejects.add(whole)


def feed_of(tx: Transaction, org: str) -> int:
    """The feed of an organisation. Raises: NotFound."""
    if organisations.find(tx, org) is None:
        raise NotFound(f"no organisation {org!r}; make it with 'headwater org create {org}'")
    return feeds.organisation_feed(tx, org) or 0


def kind_of(file: Path) -> str:
    """The format that a file's suffix names: csv, vcf or jsonl. Raises: FileUnsuitable."""
    kind = file.suffix.lower().removeprefix(".")
    if kind not in ("csv", "vcf", "jsonl"):
        raise FileUnsuitable(f"{file.name}: the name has no suffix of a contacts file")
    return kind


def rows_of(
    stream: BinaryIO, kind: str, key: str | None, dates: Literal["dmy", "mdy"] | None
) -> CsvRows | Iterator[Parsed]:
    """The rows of a file, as its reader yields them."""
    if kind == "csv":
        return read_csv(stream, key_column=key, date_order=dates)
    return read_vcard(stream) if kind == "vcf" else read_jsonl(stream)


def contacts_of(database: Database, feed: int) -> Iterator[ContactRow]:
    """All contacts of a feed by id, a page at a time."""
    after = ""
    while rows := database.read_now(lambda tx, after=after: file_keys.page(tx, feed, after, BATCH_ROWS)):  # type: ignore[misc]
        yield from rows
        after = rows[-1].contact_id or ""


def _private(path: Path) -> BinaryIO:
    """Creates a file that only its owner may read: it contains personal data."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Writes a file that replaces ``path`` once it is whole, and that is removed after a failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _private(part) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

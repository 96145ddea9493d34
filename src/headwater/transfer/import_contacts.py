"""Imports the contacts of a file into an organisation, each batch in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from headwater.base.errors import HeadwaterError, NotFound
from headwater.contracts.contacts import upsert
from headwater.contracts.contacts.interchange.csv.format import CsvRows, read_csv
from headwater.contracts.contacts.interchange.csv.rejects import RejectedRows
from headwater.contracts.contacts.interchange.dates import DateOrder
from headwater.contracts.contacts.interchange.jsonl import JsonLines, RejectedLines, read_jsonl
from headwater.contracts.contacts.interchange.record import Parsed, RowProblem, UnusedColumn
from headwater.contracts.contacts.interchange.vcard.format import read_vcard
from headwater.contracts.contacts.interchange.vcard.rejects import RejectedCards
from headwater.contracts.contacts.persons import KnownPersons
from headwater.contracts.contacts.upsert import Plan, RowOutcome
from headwater.identity import organisations
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds
from headwater.transfer.export_contacts import persons_of, private_file

BATCH_ROWS = 1000

BATCH_CHARACTERS = 8_000_000
"""The characters that end a batch of any number of rows, so that memory does not grow with long lines."""

EXAMPLES_SHOWN = 20
"""The most changes, and the most refused rows, in a summary."""

WARNINGS_KEPT = 10_000
"""The most different warnings in a summary; equal ones of several rows are one. Further ones are counted."""


class FileUnsuitable(HeadwaterError):
    """A file whose name or options do not fit the command."""

    code = "FILE_UNSUITABLE"
    title = "File not suitable"
    hint = "Contacts are imported from and exported to .csv, .vcf and .jsonl; save a spreadsheet as CSV."


class RefusedRow(NamedTuple):
    """A row of the file that was not imported: its number, the field at fault, and the reason."""

    row: int
    field: str
    reason: str


class Warnings:
    """The warnings of an import: each different one with the rows that have it, as ranges."""

    def __init__(self) -> None:
        self.count = 0
        self._rows: dict[tuple[str, str, str], list[list[int]]] = {}
        self.left_out = 0

    def add(self, row_number: int, problem: RowProblem) -> None:
        """Counts a warning about a row."""
        self.count += 1
        key = (problem.field, problem.code, problem.detail)
        ranges = self._rows.get(key)
        if ranges is None and len(self._rows) >= WARNINGS_KEPT:
            self.left_out += 1
        elif ranges is None:
            self._rows[key] = [[row_number, row_number]]
        elif ranges[-1][1] + 1 >= row_number:
            ranges[-1][1] = row_number
        elif len(ranges) < WARNINGS_KEPT:
            ranges.append([row_number, row_number])
        else:
            self.left_out += 1

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Each different warning: its rows (``2, 5-9``), field, code and sentence, in the order of the file."""
        for (field_name, code, detail), ranges in self._rows.items():
            texts = (str(first) if first == last else f"{first}-{last}" for first, last in ranges)
            yield ", ".join(texts), field_name, code, detail


@dataclass
class ImportSummary:
    """The result of an import, or of its dry run."""

    effects: Counter[str] = field(default_factory=Counter)
    warnings: Warnings = field(default_factory=Warnings)
    known_persons: int = 0
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


@dataclass
class DuplicateWatch:
    """Reports new contacts whose person the organisation has already under another key."""

    database: Database
    feed: int
    _known: KnownPersons | None = None

    def report(self, rows: list[Parsed], planned: Plan, summary: ImportSummary) -> None:
        """Warns of the rows of a batch that created (or would create) a person again."""
        created = {outcome.row_number: outcome.uid for outcome in planned.outcomes if outcome.effect == "created"}
        if not created:
            return
        if self._known is None:
            fresh = {planned.targets[uid].person.contact.contact_id for uid in created.values()}
            self._known = KnownPersons(persons_of(self.database, self.feed, fresh))
        for row in rows:
            shared = self._known.shared(row.contact) if row.row_number in created else None
            if shared:
                detail = f"a person of the same name and {shared.replace('_', ' ')} is here already, under another key"
                summary.known_persons += 1
                summary.warnings.add(row.row_number, RowProblem("uid", "person_known", detail, refuses=False))


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


RejectsWriter = RejectedRows | RejectedCards | RejectedLines
"""A writer of refused rows in the format of their file."""


class Rejects:
    """The file of refused rows in the format of theirs, created with the first; only its owner may read it."""

    def __init__(self, path: Path, *, stored: bool) -> None:
        self.header: tuple[str, ...] = ()
        self.delimiter = ","
        self.count = 0
        self._path = path
        self._stored = stored
        self._stream: BinaryIO | None = None
        self._writer: RejectsWriter | None = None

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._writer is not None and self._stream is not None:
            self._writer.close()
            self._stream.close()

    def add(self, parsed: Parsed) -> None:
        """Writes a refused row."""
        self.count += 1
        if not self._stored:
            return
        if self._writer is None:
            self._stream = private_file(self._path)
            self._writer = self._writer_to(self._stream)
        self._writer.add(parsed)

    def _writer_to(self, stream: BinaryIO) -> RejectsWriter:
        kind = self._path.suffix.lower()
        if kind == ".vcf":
            return RejectedCards(stream)
        return (
            RejectedLines(stream) if kind == ".jsonl" else RejectedRows(stream, self.header, delimiter=self.delimiter)
        )


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


def import_batch(
    run: ImportRun, batch: list[Parsed], summary: ImportSummary, rejects: Rejects, watch: DuplicateWatch | None = None
) -> None:
    """Imports one batch, and counts the outcome of each row."""
    accepted = [row for row in batch if row.accepted]
    planned = run.run(accepted)
    summary.add(planned)
    refusals = {outcome.row_number: outcome.problem for outcome in planned.outcomes if outcome.problem is not None}
    for row in batch:
        for problem in row.problems:
            if not problem.refuses:
                summary.warnings.add(row.row_number, problem)
        late = refusals.get(row.row_number) if row.accepted else None
        if row.accepted and late is None:
            continue
        summary.effects["refused"] += not row.accepted
        problems = (*row.problems, late) if late else row.problems
        whole = msgspec.structs.replace(row, problems=problems)
        summary.refuse(whole)
        rejects.add(whole)
    if watch is not None:
        watch.report(accepted, planned, summary)


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
    stream: BinaryIO, kind: str, key: str | None, dates: DateOrder | None
) -> CsvRows | JsonLines | Iterator[Parsed]:
    """The rows of a file, as its reader yields them."""
    if kind == "csv":
        return read_csv(stream, key_column=key, date_order=dates)
    return read_vcard(stream) if kind == "vcf" else read_jsonl(stream)


def proven_order(stream: BinaryIO, kind: str, key: str | None) -> DateOrder | None:
    """The order of day and month that the dates of a CSV file prove; reads the file and returns to its beginning."""
    if kind != "csv" or not stream.seekable():
        return None
    found = read_csv(stream, key_column=key).proven_order()
    stream.seek(0)
    return found


class FileReading(NamedTuple):
    """The part of a file that was read: its columns with their fields, those that were not, and the order of dates.

    ``key_like`` is the header of an unused column that looks like a member number.
    """

    columns: dict[str, str]
    unused: list[UnusedColumn]
    key_like: str | None
    date_order: DateOrder | None


def reading_of(rows: CsvRows | JsonLines | Iterator[Parsed], order: DateOrder | None) -> FileReading:
    """The part of a file that its reader has read so far."""
    if isinstance(rows, CsvRows):
        return FileReading(rows.columns.used(), rows.unused, rows.columns.key_like(), order)
    return FileReading({}, rows.unused if isinstance(rows, JsonLines) else [], None, None)

"""``headwater import contacts`` and ``headwater export contacts``: files in and out of an organisation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from headwater.base.errors import HeadwaterError, NotFound
from headwater.base.wire import encode
from headwater.cli import installation, options
from headwater.cli.output import Row, say_note, show_one, show_rows
from headwater.contracts.contacts import file_keys, interchange, upsert
from headwater.contracts.contacts.interchange import ContactRow, CsvRows, Parsed, RejectsFile
from headwater.contracts.contacts.upsert import Outcome, Plan
from headwater.identity import organisations
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds

import_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
export_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

BATCH_ROWS = 1000
BATCH_CHARACTERS = 8_000_000
"""Where a batch ends whatever its number of rows, so that memory does not grow with long lines."""

EXAMPLES_SHOWN = 20
"""Most changes, and most refused rows, that a summary shows."""

Organisation = Annotated[str, typer.Option("--org", metavar="ORG", help="Organisation that the contacts belong to.")]
DateOrder = Annotated[
    Literal["dmy", "mdy"] | None,
    typer.Option("--dates", metavar="dmy|mdy", help="How 04/05/1988 is meant in a CSV file.", show_default=False),
]


class FileUnsuitable(HeadwaterError):
    """A file whose name or options do not fit what is to be done with it."""

    code = "FILE_UNSUITABLE"
    title = "File not suitable"
    hint = "Contacts are imported from and exported to .csv, .vcf and .jsonl."


@import_app.callback()
def import_() -> None:
    """Bring contacts of a file into an organisation."""


@export_app.callback()
def export() -> None:
    """Write an organisation's contacts to a file."""


@dataclass
class Summary:
    """What an import did, or would do."""

    effects: Counter[str] = field(default_factory=Counter)
    warnings: int = 0
    new_chapters: list[str] = field(default_factory=list)
    changes: list[Outcome] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)

    def add(self, planned: Plan) -> None:
        """Count a batch."""
        self.new_chapters += [name for name in planned.new_chapters if name not in self.new_chapters]
        for outcome in planned.outcomes:
            self.effects[outcome.effect] += 1
            if outcome.changed and len(self.changes) < EXAMPLES_SHOWN:
                self.changes.append(outcome)

    def refuse(self, parsed: Parsed) -> None:
        """Count a row that its reader or a rule refused."""
        if len(self.refused) < EXAMPLES_SHOWN:
            reason = next(problem for problem in parsed.problems if problem.refuses)
            self.refused.append({"row": parsed.row_number, "field": reason.field, "reason": reason.detail})


@import_app.command(
    "contacts",
    epilog=options.examples(
        "headwater import contacts members.csv --org org_hlf --dry-run",
        "headwater import contacts members.csv --org org_hlf --key 'Member no'",
        "headwater import contacts phone.vcf --org default",
    ),
)
def import_contacts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .vcf or .jsonl file.")],
    org: Organisation,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="COLUMN", help="CSV column of the key to upsert by.", show_default=False),
    ] = None,
    dates: DateOrder = None,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Bring the contacts of a file in.

    Each row is matched by its key: a known contact is changed where it differs, an unknown one is made.
    """
    kind = _kind_of(file)
    if key is not None and kind != "csv":
        raise FileUnsuitable(f"--key names a column, and {file.name} has none")
    summary = Summary()
    rejected = file.with_suffix(".rejected.csv")
    with (
        installation.opened(data, database, config) as here,
        file.open("rb") as stream,
        _bar(file.stat().st_size, stream, hidden=as_json) as advance,
        _Rejects(rejected, kept=not dry_run) as rejects,
    ):
        feed = here.database.read_now(lambda tx: _feed(tx, org))
        rows = _rows(stream, kind, key, dates)
        if isinstance(rows, CsvRows):
            rejects.header, rejects.delimiter = tuple(rows.columns.header), rows.delimiter
        run = _Run(here.database, feed, here.settings.effective_provisioning == "open", kind == "vcf", dry_run)
        for batch in batches(iter(rows)):
            _import_batch(run, batch, summary, rejects)
            advance()
    _show(file, org, summary, rejected if rejects.count and not dry_run else None, dry_run=dry_run, as_json=as_json)


@export_app.command(
    "contacts",
    epilog=options.examples(
        "headwater export contacts members.csv --org org_hlf", "headwater export contacts members.vcf"
    ),
)
def export_contacts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .vcf or .jsonl file; it is replaced.")],
    org: Organisation = "default",
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write all contacts of an organisation to a file.

    An import reads it back unchanged.
    """
    write = {"csv": interchange.write_csv, "vcf": interchange.write_vcard, "jsonl": interchange.write_jsonl}
    kind = _kind_of(file)
    with installation.opened(data, database, config) as here:
        feed = here.database.read_now(lambda tx: _feed(tx, org))
        with _replacing(file) as stream:
            count = write[kind](stream, _contacts(here.database, feed))
    show_one({"file": str(file), "organisation": org, "contacts": count}, as_json=as_json)


@dataclass(frozen=True)
class _Run:
    """What holds for every batch of an import."""

    database: Database
    feed: int
    open_provisioning: bool
    replace_extra: bool
    dry_run: bool

    def take(self, rows: list[Parsed]) -> Plan:
        """Import a batch in one transaction, or only plan it."""

        def work(tx: Transaction) -> Plan:
            carry = upsert.plan if self.dry_run else upsert.upsert
            return carry(
                tx, self.feed, rows, open_provisioning=self.open_provisioning, replace_extra=self.replace_extra
            )

        if self.dry_run:
            return self.database.read_now(work)
        return self.database.write_now(work, feed=self.feed)


class _Rejects:
    """The file of refused rows, made with the first of them; only its owner may read it."""

    def __init__(self, path: Path, *, kept: bool) -> None:
        self.header: tuple[str, ...] = ("raw",)
        self.delimiter = ","
        self.count = 0
        self._path = path
        self._kept = kept
        self._stream: BinaryIO | None = None
        self._file: RejectsFile | None = None

    def __enter__(self) -> _Rejects:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._file is not None and self._stream is not None:
            self._file.close()
            self._stream.close()

    def add(self, parsed: Parsed) -> None:
        """Write a refused row."""
        self.count += 1
        if not self._kept:
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


def _import_batch(run: _Run, batch: list[Parsed], summary: Summary, rejects: _Rejects) -> None:
    accepted = [row for row in batch if row.accepted]
    planned = run.take(accepted)
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


def _feed(tx: Transaction, org: str) -> int:
    if organisations.find(tx, org) is None:
        raise NotFound(f"no organisation {org!r}; make it with 'headwater org create {org}'")
    return feeds.organisation_feed(tx, org) or 0


def _kind_of(file: Path) -> str:
    kind = file.suffix.lower().removeprefix(".")
    if kind not in ("csv", "vcf", "jsonl"):
        raise FileUnsuitable(f"{file.name}: the name tells no kind of contacts file")
    return kind


def _rows(
    stream: BinaryIO, kind: str, key: str | None, dates: Literal["dmy", "mdy"] | None
) -> CsvRows | Iterator[Parsed]:
    if kind == "csv":
        return interchange.read_csv(stream, key_column=key, date_order=dates)
    return interchange.read_vcard(stream) if kind == "vcf" else interchange.read_jsonl(stream)


def _contacts(database: Database, feed: int) -> Iterator[ContactRow]:
    after = ""
    while rows := database.read_now(lambda tx, after=after: file_keys.page(tx, feed, after, BATCH_ROWS)):  # type: ignore[misc]
        yield from rows
        after = rows[-1].contact_id or ""


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner may read: it holds personal data."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when it is whole, and is gone when it never gets there."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _private(part) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _bar(size_bytes: int, stream: BinaryIO, *, hidden: bool) -> Iterator[_Advance]:
    """A progress bar over the bytes of a file, on standard error where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as progress:
        yield _Advance(progress, progress.add_task("contacts", total=size_bytes), stream)


class _Advance:
    """Moves a bar to where the file is being read."""

    def __init__(self, progress: Progress, task: TaskID, stream: BinaryIO) -> None:
        self._progress, self._task, self._stream = progress, task, stream

    def __call__(self) -> None:
        self._progress.update(self._task, completed=self._stream.tell())


def _show(file: Path, org: str, summary: Summary, rejected: Path | None, *, dry_run: bool, as_json: bool) -> None:
    counts: Row = {
        "file": str(file),
        "organisation": org,
        "dry_run": dry_run,
        "rows": summary.effects.total(),
        **{effect: summary.effects[effect] for effect in ("created", "updated", "unchanged", "refused")},
        "warnings": summary.warnings,
        "new_chapters": summary.new_chapters,
        "rejected_file": None if rejected is None else str(rejected),
    }
    examples = [row for outcome in summary.changes for row in _changed(outcome)][:EXAMPLES_SHOWN]
    if as_json:
        print(encode({**counts, "examples": examples, "refused_examples": summary.refused}).decode())
        return
    show_one(counts, as_json=False)
    if dry_run and examples:
        say_note("\nWhat would change, for example:")
        show_rows(examples, as_json=False, none="")
    if summary.refused:
        say_note("\nRefused rows" + (f", with reasons in {rejected}:" if rejected else ":"))
        show_rows(summary.refused, as_json=False, none="")


def _changed(outcome: Outcome) -> list[Row]:
    return [
        {
            "row": outcome.row_number,
            "effect": outcome.effect,
            "name": outcome.name,
            "field": name,
            "old": old,
            "new": new,
        }
        for name, (old, new) in outcome.changed.items()
    ]

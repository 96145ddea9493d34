"""An import of contacts: batches of bounded size, refused rows in a private file, and a dry run without effect."""

from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import NotFound
from headwater.contracts.contacts import upsert
from headwater.contracts.contacts.interchange.csv.format import read_csv
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed, RowProblem
from headwater.contracts.contacts.upsert import Plan, RowOutcome
from headwater.identity import chapters, organisations
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds
from headwater.transfer import export_contacts
from headwater.transfer.export_contacts import contacts_of, replacing
from headwater.transfer.import_contacts import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    EXAMPLES_SHOWN,
    DuplicateWatch,
    FileUnsuitable,
    ImportRun,
    ImportSummary,
    Rejects,
    Warnings,
    batches,
    feed_of,
    import_batch,
    kind_of,
    rows_of,
)
from tests.unit.cli.conftest import Installed

TAKEN = RowProblem("email", "invalid", "not an address")
WARNING = RowProblem("phone", "odd", "no phone number", refuses=False)


def row(number: int, raw: tuple[str, ...] = ("x",), *problems: RowProblem, **fields: Any) -> Parsed:
    contact = ContactRow(first_name=fields.pop("first_name", f"Person {number}"), **fields)
    return Parsed(
        row_number=number, uid=f"k{number}", contact=contact, given=frozenset(["first_name", *fields]), raw=raw,
        problems=problems,
    )  # fmt: skip


def sizes(rows: Iterator[Parsed]) -> list[int]:
    return [len(batch) for batch in batches(rows)]


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (0, []),
        (1, [1]),
        (BATCH_ROWS - 1, [BATCH_ROWS - 1]),
        (BATCH_ROWS, [BATCH_ROWS]),
        (BATCH_ROWS + 1, [BATCH_ROWS, 1]),
        (2 * BATCH_ROWS, [BATCH_ROWS, BATCH_ROWS]),
    ],
)
def test_a_batch_ends_at_its_number_of_rows(count: int, wanted: list[int]) -> None:
    one = row(1)
    assert sizes(one for _ in range(count)) == wanted


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [
        ([BATCH_CHARACTERS - 1, 1, 1], [2, 1]),
        ([BATCH_CHARACTERS, 1], [1, 1]),
        ([BATCH_CHARACTERS + 1, BATCH_CHARACTERS + 1], [1, 1]),
        ([BATCH_CHARACTERS - 1], [1]),
        ([BATCH_CHARACTERS // 2, BATCH_CHARACTERS // 2, 0], [2, 1]),
    ],
)
def test_a_batch_ends_at_its_characters_too(lengths: list[int], wanted: list[int]) -> None:
    assert sizes(row(number, ("", "x" * length)) for number, length in enumerate(lengths)) == wanted


def test_batches_keep_the_order_and_read_no_further_than_they_must() -> None:
    read: list[int] = []

    def rows() -> Iterator[Parsed]:
        for number in range(BATCH_ROWS + 5):
            read.append(number)
            yield row(number)

    found = batches(rows())
    first = next(found)
    assert len(read) == BATCH_ROWS
    assert [each.row_number for each in [*first, *next(found)]] == list(range(BATCH_ROWS + 5))


@pytest.mark.parametrize(
    ("name", "kind"), [("a.csv", "csv"), ("A.CSV", "csv"), ("b.Vcf", "vcf"), ("c.d.jsonl", "jsonl"), ("x y.csv", "csv")]
)
def test_the_suffix_of_a_file_names_its_format(name: str, kind: str) -> None:
    assert kind_of(Path("/folder.vcf") / name) == kind


@pytest.mark.parametrize("name", ["a", "a.txt", ".csv", "csv", "a.csv.gz", "a.json", "a."])
def test_a_file_of_another_format_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(FileUnsuitable, match="suffix of a contacts file"):
        kind_of(Path(name))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("csv", "uid,first_name\nk1,Åse\n"),
        ("vcf", "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:k1\r\nFN:Åse\r\nN:;Åse;;;\r\nEND:VCARD\r\n"),
        ("jsonl", '{"uid": "k1", "first_name": "Åse"}\n'),
    ],
)
def test_each_format_has_its_reader(kind: str, text: str) -> None:
    (found,) = rows_of(io.BytesIO(text.encode()), kind, None, None)
    assert (found.uid, found.contact.first_name, found.problems) == ("k1", "Åse", ())


def outcome(number: int, effect: Any = "created", *, changed: bool = True) -> RowOutcome:
    return RowOutcome(number, f"k{number}", "X", effect, {"email": (None, "a")} if changed else {})


def test_a_summary_counts_all_rows_and_keeps_the_first_examples() -> None:
    summary = ImportSummary()
    count = EXAMPLES_SHOWN + 5
    summary.add(Plan([outcome(number) for number in range(count)], {}, ["a", "b"]))
    summary.add(Plan([outcome(99, "unchanged", changed=False)], {}, ["b", "c"]))
    assert summary.effects == {"created": count, "unchanged": 1}
    assert [each.row_number for each in summary.changes] == list(range(EXAMPLES_SHOWN))
    assert summary.new_chapters == ["a", "b", "c"]


def test_of_many_refused_rows_the_first_are_kept_with_the_reason_that_refuses() -> None:
    summary = ImportSummary()
    for number in range(EXAMPLES_SHOWN + 1):
        summary.refuse(row(number, ("x",), WARNING, TAKEN))
    assert len(summary.refused) == EXAMPLES_SHOWN
    assert summary.refused[0] == (0, "email", "not an address")


def rejected(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def test_the_file_of_rejects_is_made_with_the_first_of_them_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    with Rejects(path, stored=True) as rejects:
        assert not path.exists()
        rejects.add(row(2, ("a", "b"), TAKEN))
        assert path.stat().st_mode & 0o777 == 0o600
    assert rejects.count == 1
    assert rejected(path)[1] == ["2", "email", "invalid", "not an address", "a", "b"]


def test_an_older_file_of_rejects_is_replaced_and_one_of_no_rejects_stays(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("older")
    path.chmod(0o644)
    with Rejects(path, stored=True):
        pass
    assert path.read_text() == "older"
    with Rejects(path, stored=True) as rejects:
        rejects.add(row(2, ("a",), TAKEN))
    assert (len(rejected(path)), path.stat().st_mode & 0o777) == (2, 0o600)


def test_a_link_in_the_place_of_the_rejects_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "r.csv").symlink_to(other)
    with Rejects(tmp_path / "r.csv", stored=True) as rejects:
        rejects.add(row(2, ("a",), TAKEN))
    assert other.read_text() == "precious"
    assert not (tmp_path / "r.csv").is_symlink()


def test_rejects_that_are_not_stored_are_only_counted(tmp_path: Path) -> None:
    with Rejects(tmp_path / "r.csv", stored=False) as rejects:
        for number in range(3):
            rejects.add(row(number, ("a",), TAKEN))
    assert (rejects.count, list(tmp_path.iterdir())) == (3, [])


def test_rejects_have_the_header_and_the_delimiter_of_their_file(tmp_path: Path) -> None:
    with Rejects(tmp_path / "r.csv", stored=True) as rejects:
        rejects.header, rejects.delimiter = ("name", "e-mail"), ";"
        rejects.add(row(2, ("a;b", "c"), TAKEN))
    first, second = (tmp_path / "r.csv").read_text("utf-8-sig").splitlines()
    assert first.endswith(";name;e-mail")
    assert second.endswith(';"a;b";c')


def test_rejects_that_were_written_before_a_failure_are_in_the_file(tmp_path: Path) -> None:
    def fail() -> None:
        with Rejects(tmp_path / "r.csv", stored=True) as rejects:
            rejects.add(row(2, ("a",), TAKEN))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(rejected(tmp_path / "r.csv")) == 2


@pytest.fixture
def feed(database: Database) -> int:
    """The feed of a new organisation."""

    def transaction(tx: Transaction) -> int:
        organisations.create(tx, "org")
        return feeds.organisation_feed(tx, "org") or 0

    return database.write_now(transaction)


def state(database: Database, feed: int) -> tuple[list[str], int, list[str]]:
    """The contacts' first names, the feed's head and the chapters' names."""
    return (
        [contact.first_name or "" for contact in contacts_of(database, feed)],
        database.read_now(lambda tx: feeds.head(tx, feed)),
        [chapter.name for chapter in database.read_now(lambda tx: chapters.read_all(tx, "org"))],
    )


def bring(
    database: Database, feed: int, rows: list[Parsed], tmp_path: Path, *, dry_run: bool = False, open_: bool = True
) -> tuple[ImportSummary, Rejects]:
    """Import one batch."""
    run = ImportRun(database, feed, open_, False, dry_run)
    summary = ImportSummary()
    with Rejects(tmp_path / "r.csv", stored=not dry_run) as rejects:
        import_batch(run, rows, summary, rejects)
    return summary, rejects


def test_a_dry_run_counts_what_the_run_then_does_and_changes_nothing(
    database: Database, feed: int, tmp_path: Path
) -> None:
    rows = [row(1, ("x",), chapter_ids=("Oslo",)), row(2, ("x",), WARNING), row(3, ("x",), TAKEN)]
    before = state(database, feed)
    foretold, _ = bring(database, feed, rows, tmp_path, dry_run=True)
    assert state(database, feed) == before
    assert list(tmp_path.glob("r.csv")) == []
    done, rejects = bring(database, feed, rows, tmp_path)
    assert (foretold.effects, foretold.warnings.count, foretold.new_chapters, foretold.refused) == (
        done.effects, done.warnings.count, done.new_chapters, done.refused,
    )  # fmt: skip
    assert (done.effects, done.warnings.count, rejects.count) == ({"created": 2, "refused": 1}, 1, 1)
    assert state(database, feed) == (["Person 1", "Person 2"], 2, ["Oslo"])


def test_a_second_run_and_its_dry_run_find_nothing_to_do(database: Database, feed: int, tmp_path: Path) -> None:
    rows = [row(1), row(2)]
    bring(database, feed, rows, tmp_path)
    before = state(database, feed)
    for dry_run in (True, False):
        summary, _ = bring(database, feed, rows, tmp_path, dry_run=dry_run)
        assert (summary.effects, summary.changes) == ({"unchanged": 2}, [])
        assert state(database, feed) == before


def test_a_row_that_a_rule_refuses_is_counted_once_and_has_the_reasons_of_reader_and_rule(
    database: Database, feed: int, tmp_path: Path
) -> None:
    rows = [row(1), row(2, ("x",), WARNING, chapter_ids=("None",))]
    summary, rejects = bring(database, feed, rows, tmp_path, open_=False)
    assert summary.effects == {"created": 1, "refused": 1}
    assert (summary.warnings.count, rejects.count, len(summary.refused)) == (1, 1, 1)
    assert "None" in summary.refused[0].reason
    assert "no phone number" not in rejected(tmp_path / "r.csv")[1]


def test_one_batch_is_one_transaction(
    database: Database, feed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_upsert = upsert.upsert

    def fail_at_the_end(*arguments: Any, **named: Any) -> Plan:
        really_upsert(*arguments, **named)
        raise KeyError

    before = state(database, feed)
    monkeypatch.setattr(upsert, "upsert", fail_at_the_end)
    with pytest.raises(KeyError):
        bring(database, feed, [row(1), row(2)], tmp_path)
    assert state(database, feed) == before


def test_a_batch_of_refused_rows_alone_writes_no_change(database: Database, feed: int, tmp_path: Path) -> None:
    before = state(database, feed)
    summary, rejects = bring(database, feed, [row(1, ("x",), TAKEN)], tmp_path)
    assert (summary.effects, rejects.count, state(database, feed)) == ({"refused": 1}, 1, before)


def test_an_unknown_organisation_is_told_how_to_be_made(database: Database, feed: int) -> None:
    assert database.read_now(lambda tx: feed_of(tx, "org")) == feed
    with pytest.raises(NotFound, match="headwater org create other"):
        database.read_now(lambda tx: feed_of(tx, "other"))


def test_all_contacts_are_read_page_by_page_in_the_order_of_their_ids(
    database: Database, feed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(database, feed, [row(number) for number in range(7)], tmp_path)
    whole = list(contacts_of(database, feed))
    for size in (1, 3, 7, 8):
        monkeypatch.setattr(export_contacts, "PAGE_ROWS", size)
        assert list(contacts_of(database, feed)) == whole
    ids = [contact.contact_id for contact in whole]
    assert (len(ids), ids) == (7, sorted(ids, key=str))


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("older")

    def fail() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("out.csv", "older")]
    with replacing(path) as stream:
        stream.write(b"newer")
        assert path.read_text() == "older"
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("out.csv", "newer")]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_part_that_a_killed_export_left_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / f".out.csv.{os.getpid()}.part"
    left.write_text("left")
    left.chmod(0o644)
    with replacing(tmp_path / "out.csv") as stream:
        stream.write(b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


FORMATS = {
    "csv": "uid,first_name,email\nk1,Åse,ase@example.no\nk2,Bo,\nk3,,\n",
    "vcf": "".join(
        f"BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{uid}\r\n{lines}END:VCARD\r\n"
        for uid, lines in (
            ("k1", "FN:Åse\r\nN:;Åse;;;\r\nEMAIL:ase@example.no\r\n"), ("k2", "FN:Bo\r\nN:;Bo;;;\r\n"), ("k3", ""),
        )
    ),
    "jsonl": '{"uid":"k1","first_name":"Åse","email":"ase@example.no"}\n{"uid":"k2","first_name":"Bo"}\n{"uid":"k3"}\n',
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_brings_the_same_contacts_and_refuses_the_row_without_a_name(
    command: Any, installed: Installed, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"in.{kind}"
    path.write_text(FORMATS[kind], "utf-8")
    at = ("--org", "default", "--data", installed.folder, "--json")
    dry = command("import", "contacts", path, *at, "--dry-run").json
    done = command("import", "contacts", path, *at).json
    for found in (dry, done):
        assert {name: found[name] for name in ("rows", "created", "refused")} == {"rows": 3, "created": 2, "refused": 1}
    assert (dry["rejected_file"], done["rejected_file"]) == (None, str(tmp_path / f"in.rejected.{kind}"))
    command("export", "contacts", tmp_path / "out.jsonl", "--data", installed.folder)
    stored = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [(each["uid"], each["first_name"], each.get("email")) for each in stored] == [
        ("k1", "Åse", "ase@example.no"), ("k2", "Bo", None),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "said"), [("csv", None), ("jsonl", None), ("vcf", "the file is empty")])
def test_an_export_of_no_contacts_brings_none_and_as_cards_is_an_empty_file(
    command: Any, installed: Installed, tmp_path: Path, kind: str, said: str | None
) -> None:
    path = tmp_path / f"none.{kind}"
    assert command("export", "contacts", path, "--data", installed.folder, "--json").json["contacts"] == 0
    done = command("import", "contacts", path, "--org", "default", "--data", installed.folder, "--json")
    if said is None:
        assert (done.code, done.json["rows"]) == (0, 0)
    else:
        assert (done.code, done.out, done.problem["detail"]) == (1, "", said)


def test_names_with_control_characters_do_not_reach_the_terminal(
    command: Any, installed: Installed, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    hostile = {"uid": "k1", "first_name": "A\x1b[2Jb\u202e", "chapter_ids": ["C\x1b[31m"]}
    path.write_text(json.dumps(hostile) + "\n")
    for more in (["--dry-run"], []):
        done = command("import", "contacts", path, "--org", "default", "--data", installed.folder, *more)
        assert not any(character in done.out + done.err for character in "\x1b\u202e")


def test_equal_warnings_are_one_with_the_ranges_of_their_rows() -> None:
    warnings = Warnings()
    for number in (2, 3, 4, 9, 11, 12):
        warnings.add(number, WARNING)
    warnings.add(9, RowProblem("email", "odd", "other", refuses=False))
    assert warnings.count == 7
    assert [row[0] for row in warnings.rows()] == ["2-4, 9, 11-12", "9"]


def test_warnings_beyond_the_most_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.transfer.import_contacts.WARNINGS_KEPT", 3)
    warnings = Warnings()
    for number in range(5):
        warnings.add(number, RowProblem("email", "odd", f"detail {number}", refuses=False))
    for number in range(20, 30, 2):
        warnings.add(number, RowProblem("email", "odd", "detail 0", refuses=False))
    assert (warnings.count, warnings.left_out, len(list(warnings.rows()))) == (10, 5, 3)


def test_memory_grows_with_the_keys_of_a_file_alone(database: Database, feed: int, tmp_path: Path) -> None:
    used: list[int] = []
    run, summary, watch = ImportRun(database, feed, True, False, False), ImportSummary(), DuplicateWatch(database, feed)
    text = "".join(f"k{number},Ola,ola{number}@example.no,{'x' * 2000}\n" for number in range(6_000))
    rows = read_csv(io.BytesIO(f"uid,name,email,notes\n{text}".encode()))
    tracemalloc.start()
    with Rejects(tmp_path / "r.csv", stored=True) as rejects:
        for batch in batches(iter(rows)):
            import_batch(run, batch, summary, rejects, watch)
            used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert summary.effects == {"created": 6_000}
    assert used[-1] - used[1] < 1_500_000  # the rows since then have 8 MB

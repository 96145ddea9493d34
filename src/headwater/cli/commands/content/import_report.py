"""The report of an import of contacts: counts, the columns, each warning with its rows, and the refused rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headwater.cli.output import Row, as_json_text, say_note, show_one, show_rows
from headwater.contracts.contacts.interchange.record import UnusedColumn
from headwater.contracts.contacts.upsert import RowOutcome
from headwater.transfer.import_contacts import EXAMPLES_SHOWN, FileReading, ImportSummary

WARNINGS_SHOWN = 200
"""The most different warnings on a screen; ``--json`` has all."""

_EFFECTS = ("created", "updated", "unchanged", "refused")


def show(head: Row, summary: ImportSummary, reading: FileReading, rejected: Path | None, *, as_json: bool) -> None:
    """Writes the report; ``head`` names the file and the organisation."""
    counts: Row = {
        **head,
        "rows": summary.effects.total(),
        **{effect: summary.effects[effect] for effect in _EFFECTS},
        "warnings": summary.warnings.count,
        "known_persons": summary.known_persons,
        "new_chapters": summary.new_chapters,
        "rejected_file": None if rejected is None else str(rejected),
    }
    examples = [row for outcome in summary.changes for row in _changed(outcome)][:EXAMPLES_SHOWN]
    refused = [row._asdict() for row in summary.refused]
    warnings: list[Row] = [
        {"rows": rows, "field": field, "code": code, "warning": detail}
        for rows, field, code, detail in summary.warnings.rows()
    ]
    if as_json:
        lists = {
            "columns": reading.columns,
            "unused_columns": reading.unused,
            "key_hint": reading.key_like and _key_hint(reading.key_like),
            "date_order": reading.date_order,
            "warning_list": warnings,
            "warnings_left_out": summary.warnings.left_out,
            "examples": examples,
            "refused_examples": refused,
        }
        print(as_json_text({**counts, **lists}))
        return
    show_one(counts, as_json=False)
    for note in _notes(summary, reading):
        say_note(note)
    if head["dry_run"] and examples:
        say_note("\nWhat would change, for example:")
        show_rows(examples, as_json=False, none="")
    _show_warnings(warnings, summary)
    if refused:
        say_note("\nRefused rows" + (f", with reasons in {rejected}:" if rejected else ":"))
        show_rows(refused, as_json=False, none="")


def _notes(summary: ImportSummary, reading: FileReading) -> Iterator[str]:
    if reading.columns:
        yield "\nColumns read: " + ", ".join(f"{header} ({field})" for header, field in reading.columns.items())
    for title, reason in (
        ("Columns not read", "unknown"),
        ("Columns not read, for an earlier one has the name", "repeated"),
    ):
        unused = [each for each in reading.unused if each.reason == reason]
        if unused:
            yield f"{title}: " + ", ".join(map(_unused, unused))
    if reading.key_like:
        yield _key_hint(reading.key_like)
    if reading.date_order:
        yield f"Dates are read as {'day, month, year' if reading.date_order == 'dmy' else 'month, day, year'}."
    if summary.known_persons:
        persons = "1 person" if summary.known_persons == 1 else f"{summary.known_persons} persons"
        yield f"{persons} with the same name and email, phone, date of birth or street would be here twice: see below."


def _unused(column: UnusedColumn) -> str:
    place = f"column {column.place}, " if column.reason == "repeated" else ""
    rows = {0: "empty", 1: "1 row"}.get(column.rows, f"{column.rows} rows")
    return f"{column.name} ({place}{rows})"


def _key_hint(header: str) -> str:
    quoted = f"'{header}'" if " " in header else header
    return f"{header} looks like the member number. To match rows by it, add: --key {quoted}"


def _show_warnings(warnings: list[Row], summary: ImportSummary) -> None:
    if not warnings:
        return
    say_note("\nWarnings:")
    show_rows(
        [{"rows": row["rows"], "warning": row["warning"]} for row in warnings[:WARNINGS_SHOWN]], as_json=False, none=""
    )
    hidden = len(warnings) - WARNINGS_SHOWN
    if hidden > 0:
        say_note(f"... and {hidden} more; --json lists them")
    if summary.warnings.left_out:
        say_note(f"{summary.warnings.left_out} further warnings are counted only")


def _changed(outcome: RowOutcome) -> list[Row]:
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

"""The output of a command: data on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from headwater.base.wire import encode, format_seconds

Row = Mapping[str, object]


def say_problem(code: str, detail: str, hint: str = "", *, as_json: bool = False) -> None:
    """Writes a failure and its hint to standard error."""
    if as_json:
        print(encode({"error": {"code": code, "detail": detail, "hint": hint}}).decode(), file=sys.stderr)
        return
    print(f"headwater: {_plain(detail)}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)


def say_note(text: str) -> None:
    """Writes a remark to standard error, apart from the data."""
    print(text, file=sys.stderr)


def show_rows(rows: Sequence[Row], *, as_json: bool, none: str) -> None:
    """Writes rows of the same keys: aligned columns, or a JSON list; writes ``none`` when there are no rows.

    A key that ends in ``_at`` has microseconds UTC since 1970 and is shown as a time.
    """
    if as_json:
        print(encode([_timed(row) for row in rows]).decode())
        return
    if not rows:
        say_note(none)
        return
    lines = [[name.upper().replace("_", " ") for name in rows[0]]]
    lines += [[_shown(value) for value in _timed(row).values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def show_one(row: Row, *, as_json: bool) -> None:
    """Writes one row: a line for each of its values, or a JSON object."""
    timed = _timed(row)
    if as_json:
        print(encode(timed).decode())
        return
    width = max(map(len, timed))
    for name, value in timed.items():
        print(f"{name.replace('_', ' ').ljust(width)}  {_shown(value)}")


def _timed(row: Row) -> dict[str, object]:
    return {
        name: format_seconds(value) if name.endswith("_at") and isinstance(value, int) else value
        for name, value in row.items()
    }


def _shown(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "-"
    return _plain(str(value)).replace("\n", "?")


def _plain(text: str) -> str:
    """A text without control characters: a text from a client may not control the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)

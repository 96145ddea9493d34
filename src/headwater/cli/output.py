"""The output of a command: data on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from headwater.base.wire import encode, format_seconds

Row = Mapping[str, object]


def say_problem(code: str, detail: str, hint: str = "", *, as_json: bool = False) -> None:
    """Writes a failure and its hint to standard error."""
    if as_json:
        print(as_json_text({"error": {"code": code, "detail": detail, "hint": hint}}), file=sys.stderr)
        return
    print(f"headwater: {_plain(detail)}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)


def say_note(text: str) -> None:
    """Writes a remark to standard error, apart from the data."""
    print(_plain(text), file=sys.stderr)


def show_rows(rows: Sequence[Row], *, as_json: bool, none: str) -> None:
    """Writes rows of the same keys: aligned columns, or a JSON list; writes ``none`` when there are no rows.

    A key that ends in ``_at`` has microseconds UTC since 1970 and is shown as a time.
    """
    if as_json:
        print(as_json_text([_timed(row) for row in rows]))
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
        print(as_json_text(timed))
        return
    width = max(map(len, timed))
    for name, value in timed.items():
        print(f"{name.replace('_', ' ').ljust(width)}  {_shown(value)}")


def as_json_text(value: object) -> str:
    """JSON for the output; a file name or an argument that is no UTF-8 has question marks there."""
    return encode(_utf8(value)).decode()


def _utf8(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {name: _utf8(each) for name, each in value.items()}
    return [_utf8(each) for each in value] if isinstance(value, list | tuple) else value


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
        value = " ".join(map(str, value)) or "-"
    return _plain(str(value)).replace("\n", "?")


def _plain(text: str) -> str:
    """A text without control characters: a text from a client may not control the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)

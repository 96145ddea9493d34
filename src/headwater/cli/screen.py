"""What a command writes: data on standard output, everything else on standard error."""

from __future__ import annotations

import sys

from headwater.base.wire import encode


def say_problem(code: str, detail: str, hint: str = "", *, as_json: bool = False) -> None:
    """Write a failure to standard error: what was wrong, and what to do about it."""
    if as_json:
        print(encode({"error": {"code": code, "detail": detail, "hint": hint}}).decode(), file=sys.stderr)
        return
    print(f"headwater: {detail}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)


def say_note(text: str) -> None:
    """Write a remark to standard error, where it does not mix with data."""
    print(text, file=sys.stderr)

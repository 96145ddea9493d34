"""What every layer needs to say about fields: the place and the reason of one wrong value."""

from __future__ import annotations

from typing import NamedTuple


class FieldError(NamedTuple):
    """One wrong field: its path (``contacts[3].email``), a code, and a sentence."""

    field: str
    code: str
    detail: str

"""The key that an import upserts by: derived when a file has none, and watched for repeats."""

from __future__ import annotations

import re
import uuid
from array import array

from headwater.base.textkeys import fold

KEY_NAMESPACE = uuid.UUID("055cbdd5-746d-45a8-9db2-c4eee2b45291")
"""The namespace of derived keys; it never changes, or a second import would make every contact again."""

_NOT_DIGIT = re.compile(r"\D+")


def derived_key(
    *,
    name: str,
    email: str | None = None,
    phone: str | None = None,
    date_of_birth: str | None = None,
    address: str | None = None,
) -> str:
    """The key of a contact whose file has none: the same person has the same key again.

    It is a UUIDv5 over the folded name and the first present one of email, phone digits, date of birth and
    folded address, so that two people of one name stay two. Source: RFC 9562 5.5.
    """
    if email:
        mark = "email:" + email.casefold()
    elif phone and (digits := digits_of(phone)):
        mark = "phone:" + digits
    elif date_of_birth:
        mark = "born:" + date_of_birth
    else:
        mark = "address:" + _folded(address or "")
    return str(uuid.uuid5(KEY_NAMESPACE, f"{_folded(name)}\n{mark}"))


def digits_of(phone: str) -> str:
    """The digits of a phone number as it is written."""
    return _NOT_DIGIT.sub("", phone)


def replaced_key(key: str) -> str:
    """A key that fits our ids, for a key that does not (too long, or holding controls): always the same one."""
    return str(uuid.uuid5(KEY_NAMESPACE, f"key\n{key}"))


def _folded(text: str) -> str:
    return " ".join(fold(text).split())


def _mark_of(key: str) -> int:
    return hash(key) & 0xFFFF_FFFF_FFFF_FFFF or 1


class SeenKeys:
    """The row that last had each key; 12 bytes for each place of a table that is at most two thirds full.

    Keys are stored as 64 bits of the interpreter's keyed hash, so one false repeat among a million keys has a
    chance of 1 in 37 million.
    """

    def __init__(self) -> None:
        self._places = 1024
        self._filled = 0
        self._marks = array("Q", bytes(8 * self._places))
        self._rows = array("I", bytes(4 * self._places))

    def put(self, key: str, row_number: int) -> int | None:
        """Remembers the row that has this key now; the row that had it before, or None."""
        mark = _mark_of(key)
        place = self._place(mark)
        if self._marks[place] == mark:
            earlier = self._rows[place]
            self._rows[place] = row_number
            return earlier
        self._marks[place] = mark
        self._rows[place] = row_number
        self._filled += 1
        if 3 * self._filled > 2 * self._places:
            self._grow()
        return None

    def __contains__(self, key: str) -> bool:
        mark = _mark_of(key)
        return self._marks[self._place(mark)] == mark

    def _place(self, mark: int) -> int:
        last = self._places - 1
        marks = self._marks
        place = mark & last
        while marks[place] not in {0, mark}:
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        marks, rows = self._marks, self._rows
        self._places *= 2
        self._marks = array("Q", bytes(8 * self._places))
        self._rows = array("I", bytes(4 * self._places))
        for mark, row_number in zip(marks, rows, strict=True):
            if mark:
                place = self._place(mark)
                self._marks[place] = mark
                self._rows[place] = row_number

"""The cards of a vCard file, one at a time, as unfolded lines; a broken card costs only itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from headwater.contracts.contacts.interchange.lines import LineTooLong, TextLines
from headwater.contracts.contacts.interchange.record import RowProblem
from headwater.contracts.contacts.interchange.vcard.logical_lines import Unfolding

CARD_MAX_CHARS = 4_000_000
"""Largest card that is read, in characters; a photo in it has a few hundred thousand."""

REASON = "X-HEADWATER-REJECTED"
"""The property that states in a file of refused cards why a card was refused; a reader skips it."""


class Card(msgspec.Struct, kw_only=True):
    """One card: its unfolded lines without the frame, its text as it was read, and the reason to refuse it.

    Bytes of ``text`` that are not UTF-8 are PEP 383 escapes, so that the card can be written as it was.
    """

    lines: list[str]
    text: str
    problem: RowProblem | None = None
    guessed: bool = False


class Cards:
    """Iterates over the cards of a stream; text between cards becomes a card with a problem.

    Shape: ``are_refused`` is True once the stream has shown itself as a file of refused cards.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.are_refused = False
        self._lines = TextLines(stream, CARD_MAX_CHARS, guessing=False)
        self._line = ""
        self._is_cut = False

    def __iter__(self) -> Iterator[Card]:
        self._advance()
        while self._line:
            if _marks(self._line, "BEGIN"):
                yield self._card()
            elif self._line.startswith(REASON):
                self._pass_reason()
            elif self._line.strip():
                yield _failed([self._line], "outside_card", "the line is in no card")
                self._advance()
            else:
                self._advance()

    def _pass_reason(self) -> None:
        self.are_refused = True
        self._advance()
        while self._line[:1] in {" ", "\t"}:
            self._advance()

    def _advance(self) -> None:
        """Reads the next line; of one that is too long only the beginning."""
        try:
            self._line, self._is_cut = self._lines.read(), False
        except LineTooLong as failure:
            self._line, self._is_cut = failure.head + "\n", True

    def _card(self) -> Card:
        """The card that begins at the present line; leaves the line after its end."""
        text, logical, nested = [self._line], Unfolding(), 0
        size_chars, is_too_large = 0, False
        self._advance()
        while self._line:
            line, is_nested = self._line, nested > 0
            if line[0] in "BEbe":
                if _marks(line, "BEGIN"):
                    if not (is_nested or logical.in_agent):
                        return _failed(text, "card_unclosed", "the next card begins before this one has ended")
                    nested, is_nested = nested + 1, True
                elif _marks(line, "END"):
                    if not nested:
                        break
                    nested -= 1
            size_chars += len(line)
            is_too_large = is_too_large or self._is_cut or size_chars > CARD_MAX_CHARS
            if not is_too_large:
                text.append(line)
                logical.add(line.rstrip("\r\n"), nested=is_nested)
            self._advance()
        else:
            return _failed(text, "card_unclosed", "the file ends within the card")
        text.append(self._line)
        self._advance()
        if is_too_large:
            return _failed(text[:20], "card_too_large", f"the card has more than {CARD_MAX_CHARS} characters")
        return Card(lines=logical.finished(), text="".join(text), guessed=logical.guessed)


def _marks(line: str, word: str) -> bool:
    return line.strip().upper() == f"{word}:VCARD"


def _failed(text: list[str], code: str, detail: str) -> Card:
    return Card(lines=[], text="".join(text), problem=RowProblem("", code, detail))

"""The cards of a vCard file, one at a time, as unfolded lines; a broken card costs only itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from headwater.contracts.contacts.interchange.lines import LineTooLong, TextLines
from headwater.contracts.contacts.interchange.record import RowProblem

CARD_MAX_CHARS = 4_000_000
"""Largest card that is read, in characters; a photo in it has a few hundred thousand."""


class Card(msgspec.Struct, kw_only=True):
    """One card: its unfolded lines without the frame, its text as it was read, and the reason to refuse it."""

    lines: list[str]
    text: str
    problem: RowProblem | None = None
    guessed: bool = False


class Cards:
    """Iterates over the cards of a stream; text between cards becomes a card with a problem."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = TextLines(stream, CARD_MAX_CHARS)
        self._line = ""
        self._is_cut = False

    def __iter__(self) -> Iterator[Card]:
        self._advance()
        while self._line:
            if _marks(self._line, "BEGIN"):
                yield self._card()
            elif self._line.strip():
                yield Card(lines=[], text=self._line, problem=RowProblem("", "outside_card", "the line is in no card"))
                self._advance()
            else:
                self._advance()

    def _advance(self) -> None:
        """Reads the next line; of one that is too long only the beginning."""
        try:
            self._line, self._is_cut = self._lines.read(), False
        except LineTooLong as failure:
            self._line, self._is_cut = failure.head + "\n", True

    def _card(self) -> Card:
        """The card that begins at the present line; leaves the line after its end."""
        guessed_before = self._lines.guessed_lines
        text, logical, nested = [self._line], _Unfolding(), 0
        size_chars, is_too_large = 0, False
        self._advance()
        while self._line:
            line = self._line
            if line[0] in "BEbe":
                if _marks(line, "BEGIN"):
                    if not logical.in_agent:
                        return _failed(text, "card_unclosed", "the next card begins before this one has ended")
                    nested += 1
                elif _marks(line, "END"):
                    if not nested:
                        break
                    nested -= 1
                    self._advance()
                    continue
            size_chars += len(line)
            is_too_large = is_too_large or self._is_cut or size_chars > CARD_MAX_CHARS
            if not is_too_large:
                text.append(line)
                if not nested:
                    logical.add(line.rstrip("\r\n"))
            self._advance()
        else:
            return _failed(text, "card_unclosed", "the file ends within the card")
        text.append(self._line)
        self._advance()
        if is_too_large:
            return _failed(text[:20], "card_too_large", f"the card has more than {CARD_MAX_CHARS} characters")
        guessed = self._lines.guessed_lines > guessed_before
        return Card(lines=logical.finished(), text="".join(text), guessed=guessed)


def _marks(line: str, word: str) -> bool:
    return line.strip().upper() == f"{word}:VCARD"


def _failed(text: list[str], code: str, detail: str) -> Card:
    return Card(lines=[], text="".join(text), problem=RowProblem("", code, detail))


class _Unfolding:
    """Joins folded lines. Source: RFC 6350 3.2; vCard 2.1, soft line breaks of quoted-printable."""

    def __init__(self) -> None:
        self._finished: list[str] = []
        self._pieces: list[str] = []
        self._soft_break = False

    @property
    def in_agent(self) -> bool:
        """True right after a line ``AGENT:``, whose value is a card of its own. Source: vCard 2.1 2.4.2."""
        return self._pieces[:1] != [] and self._pieces[0].upper().startswith("AGENT") and len(self._pieces) == 1

    def add(self, line: str) -> None:
        """The next line of the file, without its line end."""
        if self._soft_break:
            self._pieces[-1] = self._pieces[-1].removesuffix("=")
            self._pieces.append(line)
        elif line and line[0] in " \t" and self._pieces:
            self._pieces.append(line[1:])
        else:
            self._flush()
            self._pieces = [line] if line.strip() else []
        self._soft_break = line[-1:] == "=" and self._is_quoted_printable()

    def finished(self) -> list[str]:
        """All lines, unfolded."""
        self._flush()
        return self._finished

    def _flush(self) -> None:
        if self._pieces:
            self._finished.append("".join(self._pieces))

    def _is_quoted_printable(self) -> bool:
        return bool(self._pieces) and "QUOTED-PRINTABLE" in self._pieces[0].partition(":")[0].upper()

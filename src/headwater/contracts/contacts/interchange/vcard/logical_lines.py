"""The logical lines of a card: folded lines are joined as bytes, and decoded only then.

Source: RFC 6350 3.2 (a fold may cut a character), vCard 2.1 2.1.3 (soft line breaks of quoted-printable).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headwater.contracts.contacts.interchange.content_lines import escaped
from headwater.contracts.contacts.interchange.lines import decoded

_BLANKS = " \t"
_OCTET = re.compile(r"=([0-9A-Fa-f]{2})")
_VERSION_21 = re.compile(r"VERSION\s*:\s*2\.1\s*", re.IGNORECASE)


class Unfolding:
    """Collects the lines of one card; ``guessed`` is True when one of them was not UTF-8."""

    def __init__(self) -> None:
        self.guessed = False
        self._finished: list[str] = []
        self._pieces: list[str] = []
        self._nested: list[str] = []
        self._breaks: list[int] = []
        self._soft_break = False
        self._is_21 = False

    @property
    def in_agent(self) -> bool:
        """True right after a line ``AGENT:``, whose value is a card of its own. Source: vCard 2.1 2.4.2."""
        return len(self._pieces) == 1 and self._pieces[0].upper().startswith("AGENT")

    def add(self, line: str, *, nested: bool = False) -> None:
        """The next line of the file, without its line end; one of a nested card belongs to the line before."""
        if nested:
            self._nested.append(escaped(line + "\n"))
            return
        if self._soft_break:
            self._pieces[-1] = self._pieces[-1].removesuffix("=")
            self._breaks.append(len(self._pieces))
            self._pieces.append(line)
        elif line and line[0] in _BLANKS and self._pieces:
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
            if self._breaks and self._breaks_are_folds():
                for place in self._breaks:
                    self._pieces[place] = self._pieces[place][1:]
            line, was_guessed = decoded("".join([*self._pieces, *self._nested]))
            self.guessed = self.guessed or was_guessed
            self._is_21 = self._is_21 or _VERSION_21.fullmatch(line) is not None
            self._finished.append(line)
        self._nested.clear()
        self._breaks.clear()

    def _breaks_are_folds(self) -> bool:
        """True when the blank that begins every line after a soft break is a fold's, and no part of the text.

        In 2.1 such a blank may be text; it is none when it cuts a character that is whole without it.
        """
        if not all(self._pieces[place][:1] in _BLANKS and self._pieces[place] for place in self._breaks):
            return False
        if not self._is_21:
            return True
        broken = set(self._breaks)
        unfolded = [piece[1:] if place in broken else piece for place, piece in enumerate(self._pieces)]
        return not _is_utf_8(self._pieces) and _is_utf_8(unfolded)

    def _is_quoted_printable(self) -> bool:
        return bool(self._pieces) and "QUOTED-PRINTABLE" in self._pieces[0].partition(":")[0].upper()


def _is_utf_8(pieces: Sequence[str]) -> bool:
    """True when the octets of quoted-printable text are whole characters of UTF-8."""
    octets = _OCTET.sub(lambda match: chr(int(match[1], 16)), "".join(pieces))
    try:
        octets.encode("latin-1", "replace").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

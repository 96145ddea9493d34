"""The cards that were not imported, as a vCard file with the reasons: mend it and import it again."""

from __future__ import annotations

from typing import BinaryIO

from headwater.contracts.contacts.interchange.content_lines import folded, text_line
from headwater.contracts.contacts.interchange.record import Parsed, reason_of
from headwater.contracts.contacts.interchange.vcard.cards import REASON


class RejectedCards:
    """Writes refused cards byte by byte as they were read, each with a line that states the reason."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, parsed: Parsed) -> None:
        """Writes one refused card; the reason follows its first line, or precedes a text that is no card."""
        reason = folded(text_line(REASON, f"card {parsed.row_number}: {reason_of(parsed).detail}"))
        raw = _without_reason("".join(parsed.raw)).encode("utf-8", "surrogateescape")
        first, end, rest = raw.partition(b"\n")
        if first.strip().upper() != b"BEGIN:VCARD" or not end:
            first, end, rest = b"", b"", raw
        self._stream.write(b"".join([first, end, reason, rest]) + (b"" if raw.endswith(b"\n") else b"\r\n"))

    def close(self) -> None:
        """Nothing is buffered; the stream stays open."""


def _without_reason(text: str) -> str:
    """The card without the reason for which an earlier import refused it."""
    kept, is_reason = [], False
    for line in text.splitlines(keepends=True):
        is_reason = line.startswith(REASON) or (is_reason and line[:1] in {" ", "\t"})
        if not is_reason:
            kept.append(line)
    return "".join(kept)

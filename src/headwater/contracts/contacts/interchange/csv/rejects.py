"""The rows that were not imported, as a CSV file with the reasons: mend it and import it again."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

from headwater.contracts.contacts.interchange.csv.cells import cell_text, text_cell
from headwater.contracts.contacts.interchange.csv.columns import REASON_COLUMNS
from headwater.contracts.contacts.interchange.record import Parsed, reason_of


class RejectedRows:
    """Writes refused rows of a CSV file, with its header and delimiter, and the mark by which Excel knows UTF-8."""

    def __init__(self, stream: BinaryIO, header: Sequence[str], *, delimiter: str = ",") -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        self._text.write("\ufeff")
        self._writer = csv.writer(self._text, delimiter=delimiter)
        self._writer.writerow([*REASON_COLUMNS, *map(text_cell, header)])

    def add(self, parsed: Parsed) -> None:
        """Writes one refused row; its first reason has its own columns, the others follow in the sentence."""
        reason = reason_of(parsed)
        told = (str(parsed.row_number), reason.field, reason.code, text_cell(reason.detail))
        # Guards of the first file are removed first, so that the mended file reads as the first one did.
        self._writer.writerow([*told, *(text_cell(cell_text(cell)) for cell in parsed.raw)])

    def close(self) -> None:
        """Flushes the rows that are still buffered; the stream stays open."""
        self._text.detach()

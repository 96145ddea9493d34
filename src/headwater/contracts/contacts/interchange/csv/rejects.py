"""The rows that were not imported, as a CSV file with the reasons: mend it and import it again."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

from headwater.contracts.contacts.interchange.csv.cells import cell_text, text_cell
from headwater.contracts.contacts.interchange.record import Parsed

REASON_COLUMNS = ("rejected_row", "rejected_field", "rejected_code", "rejected_because")
"""The columns before the row as it was read; an import ignores them."""


class RejectsFile:
    """Writes refused rows; the header and delimiter are those of their CSV file.

    For cards and JSON lines leave ``header`` out: their text is written to the column ``raw``.
    """

    def __init__(self, stream: BinaryIO, header: Sequence[str] = ("raw",), *, delimiter: str = ",") -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        self._writer = csv.writer(self._text, delimiter=delimiter)
        self._writer.writerow([*REASON_COLUMNS, *map(text_cell, header)])
        self.count = 0

    def add(self, parsed: Parsed) -> None:
        """Writes one refused row; its first reason has its own columns, the others follow in the sentence."""
        refusing = [problem for problem in parsed.problems if problem.refuses]
        because = "; ".join(problem.detail for problem in refusing)
        reason = (str(parsed.row_number), refusing[0].field, refusing[0].code, text_cell(because))
        # Guards of the first file are removed first, so that the mended file reads as the first one did.
        self._writer.writerow([*reason, *(text_cell(cell_text(cell)) for cell in parsed.raw)])
        self.count += 1

    def close(self) -> None:
        """Flushes the rows that are still buffered; the stream stays open."""
        self._text.detach()

"""Contacts between files and the repository: CSV, vCard and JSON Lines, read and written row by row.

Nothing here knows a database or HTTP: bytes and ``ContactRow`` values go in and out.
"""

from __future__ import annotations

from headwater.contracts.contacts.interchange.csv_format import CsvRows, read_csv, write_csv
from headwater.contracts.contacts.interchange.jsonl_format import read_jsonl, write_jsonl
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed, Problem
from headwater.contracts.contacts.interchange.rejects import RejectsFile
from headwater.contracts.contacts.interchange.vcard_format import read_vcard, write_vcard

__all__ = [
    "ContactRow",
    "CsvRows",
    "Parsed",
    "Problem",
    "RejectsFile",
    "read_csv",
    "read_jsonl",
    "read_vcard",
    "write_csv",
    "write_jsonl",
    "write_vcard",
]

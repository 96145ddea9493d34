"""The results of a transfer for single files: a failure, or a file that was sent."""

from __future__ import annotations

from typing import NamedTuple


class Failure(NamedTuple):
    """A file or folder that could not be transferred, and the reason in a sentence."""

    file: str
    reason: str


class SentFile(NamedTuple):
    """A file that was sent, or would be: its effect (created, updated), its path in the share, its size."""

    effect: str
    path: str
    bytes: int

"""The lines of a file of unknown encoding, one at a time and each of bounded length."""

from __future__ import annotations

import codecs
import io
import re
from typing import BinaryIO

LINE_MAX_CHARS = 4_000_000
"""Longest line that is read, in characters: the largest row that an export writes is far below it."""

_UNDECODED = re.compile("[\udc80-\udcff]")
"""Bytes that were not UTF-8, as the decoder leaves them for us. Source: PEP 383."""


class LineTooLong(Exception):
    """A line over the limit was skipped; ``head`` is its beginning."""

    def __init__(self, head: str) -> None:
        super().__init__(f"the line is longer than {LINE_MAX_CHARS} characters")
        self.head = head


class TextLines:
    """Reads a byte stream as lines of text with their line ends.

    UTF-8 with or without a mark, and UTF-16 with one, are recognised. Any line that is not UTF-8 is read as
    Windows-1252 (Latin-1 where that has a hole) and counted in ``guessed_lines``; each line is judged for
    itself, so nothing has to be read twice and pipes work. The stream is not closed.

    With ``guessing`` off, bytes that are not UTF-8 stay in the line as PEP 383 escapes, for a caller that joins
    lines before it decodes them by ``decoded``.
    """

    def __init__(self, stream: BinaryIO, limit_chars: int = LINE_MAX_CHARS, *, guessing: bool = True) -> None:
        head = _read_exactly(stream, 3)
        self.encoding = "utf-8-sig" if head == codecs.BOM_UTF8 else "utf-8"
        errors = "surrogateescape"
        if head[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            self.encoding, errors = "utf-16", "replace"
        self.guessed_lines = 0
        self._limit_chars = limit_chars
        self._guessing = guessing
        source = io.BufferedReader(_Rejoined(head, stream), buffer_size=1 << 16)
        self._text = io.TextIOWrapper(source, encoding=self.encoding, errors=errors, newline="")

    def read(self) -> str:
        """The next line with its line end; empty at the end of the file.

        Raises: LineTooLong, once the whole line is behind.
        """
        line = self._text.readline(self._limit_chars + 1)
        if len(line) > self._limit_chars:
            head, rest = line[:200], line
            while rest and rest[-1] not in "\r\n":
                rest = self._text.readline(self._limit_chars)
            raise LineTooLong(head)
        if not self._guessing:
            return line
        text, was_guessed = decoded(line)
        self.guessed_lines += was_guessed
        return text


def decoded(line: str) -> tuple[str, bool]:
    """A line with PEP 383 escapes as text, and True when it was not UTF-8 and was read as Windows-1252."""
    if line.isascii() or not _UNDECODED.search(line):
        return line, False
    raw = line.encode("utf-8", "surrogateescape")
    for encoding in ("utf-8", "cp1252"):
        try:
            return raw.decode(encoding), encoding != "utf-8"
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), True


def _read_exactly(stream: BinaryIO, size_bytes: int) -> bytes:
    """The first bytes of a stream that may return fewer at a time than requested."""
    head = b""
    while len(head) < size_bytes and (more := stream.read(size_bytes - len(head))):
        head += more
    return head


class _Rejoined(io.RawIOBase):
    """A stream with the bytes that were read from it put back in front; closing it leaves the stream open."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._head or self._stream.read(len(buffer))
        self._head = b""
        buffer[: len(chunk)] = chunk
        return len(chunk)

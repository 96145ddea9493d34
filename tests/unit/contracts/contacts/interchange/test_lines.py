from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.lines import LINE_MAX_CHARS, LineTooLong, TextLines

TEXT = "Bjørn Ås\r\nØsten €5\n\nlast 😀"


class Pipe(io.RawIOBase):
    """A stream that cannot be wound back and gives one byte at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        byte = self._content.read(1)
        buffer[: len(byte)] = byte
        return len(byte)


def read_all(lines: TextLines) -> Iterator[str]:
    while line := lines.read():
        yield line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_encodings_are_recognised(encoding: str) -> None:
    lines = TextLines(io.BytesIO(TEXT.encode(encoding)))
    assert "".join(read_all(lines)) == TEXT
    assert lines.encoding == encoding
    assert lines.guessed_lines == 0


def test_big_endian_utf_16_is_recognised_by_its_mark() -> None:
    lines = TextLines(io.BytesIO(b"\xfe\xff" + TEXT.encode("utf-16-be")))
    assert "".join(read_all(lines)) == TEXT


def test_windows_1252_is_guessed_line_by_line() -> None:
    content = "plain\nBjørn\n".encode() + "Grünerløkka €\n".encode("cp1252") + "Ås\n".encode()
    lines = TextLines(io.BytesIO(content))
    assert list(read_all(lines)) == ["plain\n", "Bjørn\n", "Grünerløkka €\n", "Ås\n"]
    assert lines.guessed_lines == 1


def test_bytes_that_windows_1252_lacks_are_read_as_latin_1() -> None:
    assert list(read_all(TextLines(io.BytesIO(b"\xe5\x81\n")))) == ["å\x81\n"]


def test_a_broken_utf_16_file_has_no_lone_surrogates() -> None:
    lines = TextLines(io.BytesIO(b"\xff\xfea\x00\x00\xd8\n\x00b\x00\x01"))
    assert "".join(read_all(lines)).encode().startswith(b"a\xef\xbf\xbd")


@given(st.binary(max_size=200))
def test_any_bytes_become_text_that_utf_8_can_hold(content: bytes) -> None:
    text = "".join(read_all(TextLines(io.BytesIO(content))))
    assert text.encode().decode() == text


def test_a_pipe_is_read_without_winding_back() -> None:
    assert "".join(read_all(TextLines(Pipe(TEXT.encode("utf-8-sig"))))) == TEXT  # type: ignore[arg-type]


def test_every_kind_of_line_end_ends_a_line() -> None:
    assert list(read_all(TextLines(io.BytesIO(b"a\rb\r\nc\nd")))) == ["a\r", "b\r\n", "c\n", "d"]


def test_a_line_that_is_too_long_is_skipped_whole() -> None:
    lines = TextLines(io.BytesIO(b"a\n" + b"x" * 3 * LINE_MAX_CHARS + b"\nb\n"))
    assert lines.read() == "a\n"
    with pytest.raises(LineTooLong) as failure:
        lines.read()
    assert failure.value.head == "x" * 200
    assert list(read_all(lines)) == ["b\n"]


def test_a_last_line_that_is_too_long_ends_the_file() -> None:
    lines = TextLines(io.BytesIO(b"x" * 2 * LINE_MAX_CHARS))
    with pytest.raises(LineTooLong):
        lines.read()
    assert lines.read() == ""


def test_the_stream_stays_open() -> None:
    stream = io.BytesIO(b"a\n")
    lines = TextLines(stream)
    assert list(read_all(lines)) == ["a\n"]
    del lines
    assert not stream.closed

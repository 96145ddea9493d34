from __future__ import annotations

import os
import subprocess
import sys

import pytest
import vobject
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.content_lines import (
    LineUnreadable,
    _read_by_library,
    escaped,
    folded,
    read_line,
    split_value,
    text_line,
    unescaped,
)
from tests.unit.contracts.contacts.interchange.strategies import WILD

ANY_TEXT = st.text(st.sampled_from("\\;,:\nnN") | WILD)
HEADS = st.text(st.sampled_from('ABz1-_.;=,":/ '), max_size=16)


@pytest.mark.parametrize(
    ("line", "name", "parameters", "value"),
    [
        ("FN:Ingrid", "FN", {}, "Ingrid"),
        ("tel;type=cell,voice;PREF=1:+47", "TEL", {"TYPE": ["cell", "voice"], "PREF": ["1"]}, "+47"),
        ("item1.EMAIL;type=INTERNET;type=pref:a@b.no", "EMAIL", {"TYPE": ["INTERNET", "pref"]}, "a@b.no"),
        ('ADR;LABEL="a;b:c":;;Storgata;;;;', "ADR", {"LABEL": ["a;b:c"]}, ";;Storgata;;;;"),
        ("URL:https://x.test/a:b;c", "URL", {}, "https://x.test/a:b;c"),
        ("NOTE:", "NOTE", {}, ""),
    ],
)
def test_a_line_is_taken_apart(line: str, name: str, parameters: dict[str, list[str]], value: str) -> None:
    assert read_line(line) == (name, parameters, value, line)


@pytest.mark.parametrize(
    ("line", "version", "text"),
    [
        ("FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Bj=C3=B8rn, a", "2.1", "FN:Bjørn\\, a"),
        ("N;ENCODING=quoted-printable;CHARSET=ISO-8859-1:S=F8r;=C5se\\;x;;;", "2.1", "N:Sør;Åse\\;x;;;"),
        ("ADR;HOME;QUOTED-PRINTABLE:;;A=0D=0AB;Oslo;;1;", "2.1", "ADR;TYPE=HOME:;;A\\nB;Oslo;;1;"),
        ("TEL;CELL;PREF:1", "2.1", "TEL;TYPE=CELL,PREF:1"),
        ("NOTE:a,b\\c\\;d", "2.1", "NOTE:a\\,b\\\\c\\;d"),
        ("PHOTO;ENCODING=BASE64;JPEG:/9j/", "2.1", "PHOTO:data:image/jpeg;base64,/9j/"),
        ("PHOTO;ENCODING=b;TYPE=png:iVBO", "3.0", "PHOTO:data:image/png;base64,iVBO"),
        ("KEY;ENCODING=B:AAAA", "3.0", "KEY:data:application/octet-stream;base64,AAAA"),
        ("item2.LOGO;ENCODING=b;TYPE=image/gif:R0lG", "3.0", "item2.LOGO:data:image/gif;base64,R0lG"),
        ('X-A;CHARSET=utf-8;B="c:d":e', "3.0", 'X-A;B="c:d":e'),
    ],
)
def test_the_encodings_of_older_versions_become_version_4(line: str, version: str, text: str) -> None:
    assert read_line(line, version).text == text


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no colon",
        ":value",
        "1 2:x",
        "A;:x",
        'A;B="c:x',
        "FN;ENCODING=QUOTED-PRINTABLE:=FF",
        "A;CHARSET=x;QUOTED-PRINTABLE:=41",
    ],
)
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(LineUnreadable):
        read_line(line)


@pytest.mark.parametrize("line", ["A;B=" + "," * 500, "A" + ";B=a" * 500, "A;B=" + "a," * 500 + '"', "A." * 500])
def test_a_hostile_line_is_refused_without_delay(line: str) -> None:
    with pytest.raises(LineUnreadable):
        read_line(line)


@given(HEADS, st.text(max_size=5))
@example("A;B=c,d/e.f+g-h;i=j", "x")
@example("_A", "")
def test_the_quick_pattern_agrees_with_the_library(head: str, value: str) -> None:
    try:
        by_library = _read_by_library(f"{head}:{value}", "4.0")
    except LineUnreadable:
        with pytest.raises(LineUnreadable):
            read_line(f"{head}:{value}")
    else:
        assert read_line(f"{head}:{value}") == by_library


@given(ANY_TEXT)
def test_every_text_comes_back_from_its_value(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert "\n" not in escaped(text)


@given(st.lists(ANY_TEXT, min_size=1), st.sampled_from(",;"))
def test_every_list_comes_back_from_its_value(texts: list[str], mark: str) -> None:
    assert [unescaped(part) for part in split_value(mark.join(map(escaped, texts)), mark)] == texts


def test_a_stray_backslash_at_the_end_is_kept() -> None:
    assert split_value("a;b\\", ";") == ["a", "b\\"]
    assert unescaped("b\\") == "b\\"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=200))
def test_folding_cuts_no_character_and_unfolds_to_the_same(text: str) -> None:
    lines = folded(text).split(b"\r\n")
    assert lines.pop() == b""
    assert all(len(line) <= 75 and line.decode() is not None for line in lines)
    assert all(line.startswith(b" ") for line in lines[1:])
    assert lines[0].decode() + "".join(line[1:].decode() for line in lines[1:]) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_the_library_reads_what_is_written(text: str) -> None:
    card = b"BEGIN:VCARD\r\nVERSION:3.0\r\n" + folded(text_line("FN", text)) + b"END:VCARD\r\n"
    assert vobject.readOne(card.decode()).fn.value == text


def test_plain_lines_do_without_the_library() -> None:
    program = (
        "import sys; from headwater.contracts.contacts.interchange import content_lines as c;"
        "c.read_line('FN:Ola'); c.read_line('TEL;TYPE=cell:1');"
        "assert 'vobject' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0

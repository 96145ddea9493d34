from __future__ import annotations

import re
from email.message import Message
from email.utils import collapse_rfc2231_value
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.web.http.content_disposition import attachment

FIELD = re.compile(r'attachment; filename="([^"\\%/]*)"(?:; filename\*=UTF-8\'\'([A-Za-z0-9!#$&+\-.^_`|~%]+))?')


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("report.txt", 'attachment; filename="report.txt"'),
        ("two words;x=1.txt", 'attachment; filename="two words;x=1.txt"'),
        ("Ærl, å.txt", "attachment; filename=\"_rl, a.txt\"; filename*=UTF-8''%C3%86rl%2C%20%C3%A5.txt"),
        ('say "hi".txt', "attachment; filename=\"say _hi_.txt\"; filename*=UTF-8''say%20%22hi%22.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ("a'b*(c).txt", "attachment; filename=\"a'b*(c).txt\""),
        ("../../etc/passwd", 'attachment; filename=".._.._etc_passwd"'),
        ("a\\b.txt", 'attachment; filename="a_b.txt"'),
        ("a\r\nSet-Cookie: x", 'attachment; filename="a__Set-Cookie: x"'),
        ("\ud800.txt", 'attachment; filename="_.txt"'),
        ("", 'attachment; filename="download"'),
        ("..", 'attachment; filename="download"'),
        ("😀", "attachment; filename=\"_\"; filename*=UTF-8''%F0%9F%98%80"),
    ],
)  # fmt: skip
def test_a_name_is_given_plainly_and_exactly(name: str, field: str) -> None:
    assert attachment(name) == field


@given(st.text(max_size=60))
def test_any_name_makes_one_field_that_reads_back(name: str) -> None:
    field = attachment(name)
    assert field.isascii()
    assert field.isprintable()
    found = FIELD.fullmatch(field)
    assert found is not None
    exact = unquote(found[2]) if found[2] else found[1]
    assert "/" not in exact
    assert "\\" not in exact
    if exact != "download":
        assert all(b in {a, "_"} for a, b in zip(name, exact, strict=True))


@given(st.text(alphabet="aå %\"'();.é", min_size=1, max_size=20))
def test_another_parser_reads_the_same_name(name: str) -> None:
    message = Message()
    message["Content-Disposition"] = attachment(name)
    given_names = [value for key, value in message.get_params([], "content-disposition") if key == "filename"]
    assert collapse_rfc2231_value(given_names[-1]) == (name if name.strip(". ") else "download")

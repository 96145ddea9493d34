from __future__ import annotations

import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable

import email_validator
import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.base import textkeys
from headwater.base.textkeys import check_email, fold, phone_digits, search_prefixes
from tests.support.growth import grows_faster_than_linear


@pytest.mark.parametrize(
    ("typed", "folded"),
    [
        ("Ingrid", "ingrid"),
        ("Bjørn Ås", "bjorn as"),
        ("GRÜNERLØKKA", "grunerlokka"),
        ("Groß", "gross"),
        ("Łódź", "lodz"),
        ("Ærø", "aero"),
        ("İstanbul \u0131slak", "istanbul islak"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("ﬁnn Ⅷ", "finn viii"),
        ("김 철수", unicodedata.normalize("NFD", "김 철수")),
        ("", ""),
    ],
)
def test_folding_drops_case_accents_and_strokes(typed: str, folded: str) -> None:
    assert fold(typed) == folded


@pytest.mark.parametrize(
    ("typed", "prefixes"),
    [
        ("906 78", ("906 78", "90678", "4790678")),
        ("+47 906", ("+47 906", "47906")),
        ("0047906", ("0047906", "47906")),
        ("(22) 11", ("(22) 11", "2211", "472211")),
        ("906x", ("906x",)),
        ("+", ("+",)),
        ("( )-./", ("( )-./",)),
        ("   ", ()),
    ],
)
def test_a_typed_number_is_searched_as_digits_too(typed: str, prefixes: tuple[str, ...]) -> None:
    assert search_prefixes(typed) == prefixes


@pytest.mark.parametrize("unit", ["1", " ", "1 ", "(", "+1", "a@", "--", ".a", "e\u0301", "\ufdfa"])
@pytest.mark.parametrize("end", ["x", "@", "\0"])
@pytest.mark.parametrize("function", [search_prefixes, fold, phone_digits, check_email])
def test_the_keys_of_a_text_take_time_that_grows_no_faster_than_the_text(
    function: Callable[[str], object], unit: str, end: str
) -> None:
    assert grows_faster_than_linear(lambda size: unit * (size // len(unit)) + end, function, 60_000) is None


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_folding_is_idempotent_and_keeps_prefixes(left: str, right: str) -> None:
    assert fold(fold(left)) == fold(left)
    assert fold(left + right) == fold(left) + fold(right)
    assert fold(unicodedata.normalize("NFD", left)) == fold(unicodedata.normalize("NFC", left))


def test_the_memory_of_folded_characters_is_bounded() -> None:
    folder = textkeys._FoldedChars()
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 25_000)))
    assert text.translate(folder) == text.translate(textkeys._FOLDED_CHARS)
    assert len(folder) == textkeys._FOLDED_CHARS_KEPT


@pytest.mark.parametrize(
    "address",
    [
        "ingrid.solberg@example.no",
        "a@b.test",
        "kari@printer.local",
        "o'hara+news@sub.example.com",
        "bjørn@blåbærsyltetøy.no",
        "x@xn--blbrsyltety-y8ao3x.no",
        f"{'a' * 240}@example.no",
    ],
)
def test_a_sound_address_has_no_complaint(address: str) -> None:
    assert check_email(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ingrid",
        "@example.no",
        "a@",
        "a@b",
        "a@b..no",
        "a@-b.no",
        "a@b.no ",
        " a@b.no",
        "a@b.no\n",
        "a b@example.no",
        "a..b@example.no",
        ".a@example.no",
        "a@1.2.3.4",
        "a@[127.0.0.1]",
        '"quoted"@example.no',
        "Kari <kari@example.no>",
        "kari@example.no, ola@example.no",
        "a@ab--c.no",
        "a\ud800@example.no",
        f"a@{'b' * 64}.no",
        f"{'a' * 250}@example.no",
        "ø" * 130 + "@example.no",
    ],
)
def test_an_unsound_address_gets_a_sentence(address: str) -> None:
    reason = check_email(address)
    assert reason
    assert len(reason) > 10
    assert not reason.endswith(".")


def library_says(text: str) -> bool:
    check_email("load the library@")
    try:
        email_validator.validate_email(text, check_deliverability=False)
    except email_validator.EmailNotValidError:
        return False
    return True


_ALMOST_EMAIL = st.lists(
    st.sampled_from(["a", "B", "0", ".", "-", "--", "@", "xn--", "_", "+", "'", " ", "\n", "no", "é", '"', "b" * 60]),
    max_size=14,
).map("".join)


@given(st.emails() | _ALMOST_EMAIL | _ALMOST_EMAIL.map(lambda text: f"a@{text}.no") | st.text(max_size=30))
@example("a@b.n-")
@example("a@b.1a")
@example("a@b.a1")
@example("a@aa--b.no")
@example("a@xn--b.no")
@example("a@" + "b" * 63 + ".no")
@example("a@no." + "b" * 64)
def test_the_quick_email_pattern_agrees_with_the_library(text: str) -> None:
    assert (check_email(text) is None) == library_says(text)


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("+47 906 78 901", "4790678901"),
        ("906 78 901", "4790678901"),
        ("90678901", "4790678901"),
        ("0047 90678901", "4790678901"),
        ("+44 (0)20 7946 0958", "442079460958"),
        ("+44 020 7946 0958", "442079460958"),
        ("+44 20 7946 0958", "442079460958"),
        ("22 00 00 00 ext. 12", "4722000000"),
        ("+39 06 698", "3906698"),
        ("tel:+47-906-78-901", "4790678901"),
        ("٩٠٦٧٨٩٠١", "4790678901"),
        ("906", "47906"),
        ("no phone", None),
        ("", None),
        ("+", None),
        ("room 5", "5"),
        ("1" * 300, "1" * 300),
    ],
)
def test_a_phone_number_becomes_the_digits_that_identify_it(typed: str, digits: str | None) -> None:
    assert phone_digits(typed) == digits


def test_the_region_tells_whose_numbers_come_without_a_country_code() -> None:
    assert phone_digits("070-123 45 67", "SE") == "46701234567"
    assert phone_digits("90678901", "nowhere") == "90678901"


def test_every_way_to_print_a_number_gives_the_same_digits() -> None:
    formats = phonenumbers.PhoneNumberFormat
    kinds = (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    checked = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for number in filter(None, (phonenumbers.example_number_for_type(region, kind) for kind in kinds)):
            for form in (formats.E164, formats.INTERNATIONAL, formats.NATIONAL, formats.RFC3966):
                printed = phonenumbers.format_number(number, form)
                expected = phonenumbers.format_number(number, formats.E164)[1:]
                assert phone_digits(printed, region) == expected, (region, printed)
                checked += 1
    assert checked > 1500


def test_the_quick_phone_patterns_agree_with_the_library() -> None:
    rng = random.Random(20260326)
    codes = [
        "",
        "47",
        "+47",
        *(f"+{code}" for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)),
        "+999",
        "+0",
    ]
    for code in codes:
        for _ in range(60):
            digits = "".join(rng.choices("0123456789", k=rng.randint(0, 13)))
            text = code + rng.choice(["", " ", "-", "."]) + digits
            assert phone_digits(text) == textkeys._parsed_phone(text, "NO"), text


@given(st.text(max_size=40))
def test_any_text_has_phone_digits_or_none(text: str) -> None:
    digits = phone_digits(text)
    assert digits is None or (digits.isascii() and digits.isdecimal())


def test_the_heavy_libraries_load_only_when_they_are_needed() -> None:
    program = (
        "import sys; from headwater.base import textkeys as t;"
        "t.check_email('a@b.no'); t.phone_digits('+47 90678901'); t.phone_digits('90678901'); t.fold('Ås');"
        "assert not {'email_validator', 'phonenumbers'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0

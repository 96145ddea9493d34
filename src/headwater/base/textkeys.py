"""Search keys of names and phone numbers, and the syntax check of email addresses.

Text is stored as it was typed; search columns contain the forms that this module returns. Each function handles
the common case with one pattern and calls the library with the full rule only for the rest. Tests check that
both give equal results.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from types import ModuleType

EMAIL_MAX_BYTES = 254
"""Length of the longest address that mail can carry, in bytes. Source: RFC 3696 erratum 1690."""

PHONE_MAX_CHARS = 250
"""Length of the longest phone number; of longer text the digits are used unchanged."""

_STROKED = str.maketrans(
    {
        "ø": "o",
        "đ": "d",
        "ł": "l",
        "ħ": "h",
        "ŧ": "t",
        "\u0131": "i",
        "æ": "ae",
        "œ": "oe",
        "ð": "d",
        "þ": "th",
    }
)
"""Letters that Unicode does not decompose, but that people type without the stroke when they search."""

_ATOM = r"[A-Za-z0-9_!#$%&'*+\-/=?^`{|}~]++"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_EMAIL = re.compile(
    rf"{_ATOM}(?:\.{_ATOM})*+@(?!.*--)(?:{_LABEL}\.)+(?=.{{1,63}}\Z)(?:[A-Za-z0-9-]*[A-Za-z0-9])?(?<=[A-Za-z])\Z"
)

_PLAIN_INTERNATIONAL = re.compile(
    # "+", a country code, and a first digit that no numbering plan reads as a trunk prefix. Countries whose plans
    # rewrite numbers in other ways are left to the library.
    r"\+(?:1[ .-]?[2-9]|7[ .-]?[1-79]"
    r"|(?!54|55|86)(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])[ .-]?[1-9]"
    r"|(?!261|298|352|37[058]|506|672|692|993)"
    r"(?:2[1-689]|3[578]|42|5[09]|6[7-9]|8[03578]|9[679])[0-9][ .-]?[1-9])"
    r"[0-9 .-]*"
)
_NOT_DIGIT = re.compile(r"[^0-9]+")
_PLAIN_NORWEGIAN = re.compile(r"[2-9][0-9]{7}")


_PHONE_CHARACTERS = re.compile(r"\+?[0-9 ()./-]+")


class _FoldedChars(dict[int, str]):
    """A map of code points to folded text, filled on first use; NFKD and case folding both work per character."""

    def __missing__(self, code_point: int) -> str:
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code_point)).casefold())
        folded = "".join([char for char in decomposed if not unicodedata.combining(char)]).translate(_STROKED)
        if len(self) < _FOLDED_CHARS_KEPT:
            self[code_point] = folded
        return folded


_FOLDED_CHARS_KEPT = 20_000
_FOLDED_CHARS = _FoldedChars()


def fold(text: str) -> str:
    """Returns text as search compares it, without case, accents and strokes (``Bjørn ÅS`` becomes ``bjorn as``).

    Folding is idempotent. The fold of a prefix is a prefix of the fold, so prefixes can be searched.
    Source: Unicode 3.13 (NFKD, case folding), combining marks left out.
    """
    return text.lower() if text.isascii() else text.translate(_FOLDED_CHARS)


def search_prefixes(text: str) -> tuple[str, ...]:
    """Returns the prefixes of search terms that match typed text, the likeliest first.

    The beginning of a phone number is searched as its digits, and also after the country code of Norway when it has
    no country code. White space around the text is ignored. Empty text has no prefixes.
    """
    typed = fold(text).strip()
    if not typed:
        return ()
    found = [typed]
    digits = _NOT_DIGIT.sub("", typed) if _PHONE_CHARACTERS.fullmatch(typed) else ""
    if digits:
        if typed.startswith("+"):
            found.append(digits)
        elif digits.startswith("00"):
            found.append(digits[2:])
        else:
            found += [digits, "47" + digits]
    return tuple(dict.fromkeys(form for form in found if form))


def check_email(text: str) -> str | None:
    """Checks the syntax of an email address; returns a sentence that states the error, or None.

    No name server is queried, and names reserved for tests and local networks (``.test``, ``.local``) are accepted.
    A domain needs a dot. Quoted local parts and addresses in brackets are refused.
    Source: RFC 5321, RFC 6531.
    """
    if len(text) <= EMAIL_MAX_BYTES and _PLAIN_EMAIL.match(text):
        return None
    if len(text) > EMAIL_MAX_BYTES:
        return f"an email address has at most {EMAIL_MAX_BYTES} bytes"
    library = _email_library()
    try:
        library.validate_email(text, check_deliverability=False)
    except library.EmailNotValidError as failure:
        return str(failure).removesuffix(".")
    return None


@cache
def _email_library() -> ModuleType:
    import email_validator  # noqa: PLC0415 - its rules are needed for unusual addresses only

    # The library's own switch: only the syntax is checked here, not whether mail can be delivered.
    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
    return email_validator


def phone_digits(text: str, region: str = "NO") -> str | None:
    """Returns the digits that identify a phone number, country code first (``906 78 901`` becomes ``4790678901``).

    ``region`` is the ISO 3166 code of the country to which numbers without a country code belong. Extensions are
    left out; letters, as in ``1-800-FLOWERS``, are read as digits. The result is the bare digits for a number of no
    numbering plan, and None for text without any digit.
    """
    if text.startswith("+47") and text.isascii():
        bare = text[3:].replace(" ", "")
        if _PLAIN_NORWEGIAN.fullmatch(bare):
            return "47" + bare
    if _PLAIN_INTERNATIONAL.fullmatch(text):
        return _NOT_DIGIT.sub("", text)
    if region == "NO" and text.isascii():
        bare = text.replace(" ", "")
        if _PLAIN_NORWEGIAN.fullmatch(bare):
            return "47" + bare
    return _parsed_phone(text, region)


def _parsed_phone(text: str, region: str) -> str | None:
    if len(text) <= PHONE_MAX_CHARS:
        library = _phone_library()
        try:
            number = library.parse(text, region)
            return str(library.format_number(number, library.PhoneNumberFormat.E164)).removeprefix("+")
        except library.NumberParseException:
            pass
    return "".join([str(unicodedata.decimal(char)) for char in text if char.isdecimal()]) or None


@cache
def _phone_library() -> ModuleType:
    import phonenumbers  # noqa: PLC0415 - 10 MB of numbering plans, needed for unusual numbers only

    return phonenumbers

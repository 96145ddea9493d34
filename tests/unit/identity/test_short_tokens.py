from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from headwater.base.errors import Unauthenticated
from headwater.identity import short_tokens
from headwater.identity.short_tokens import mint, represented

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NOW = 1_774_524_300
CLAIMS = {"iss": "headwater", "aud": "headwater", "sub": "tok_1", "iat": NOW, "exp": NOW + 60}
HEADERS = {"typ": "hw+jwt", "kid": "1"}


def forged(key: bytes | str = KEY, algorithm: str = "HS256", headers: dict[str, Any] = HEADERS, **claims: Any) -> str:
    """A JWT with our claims but for these; a claim that is None is left out."""
    present = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(present, key, algorithm=algorithm, headers=headers)


def test_a_minted_jwt_stands_for_its_token() -> None:
    assert represented(KEY, mint(KEY, "tok_1", NOW, 60), NOW).token_id == "tok_1"


def test_the_same_token_at_the_same_second_gives_the_same_jwt() -> None:
    assert mint(KEY, "tok_1", NOW, 60) == mint(KEY, "tok_1", NOW, 60)
    assert mint(KEY, "tok_1", NOW, 60) != mint(KEY, "tok_1", NOW + 1, 60)


@pytest.mark.parametrize(("at", "good"), [(NOW, True), (NOW + 59, True), (NOW + 60, False), (NOW + 10**9, False)])
def test_a_jwt_is_good_until_the_second_of_its_end(at: int, good: bool) -> None:
    text = mint(KEY, "tok_1", NOW, 60)
    if good:
        assert represented(KEY, text, at).token_id == "tok_1"
    else:
        with pytest.raises(Unauthenticated):
            represented(KEY, text, at)


def test_a_clock_that_stepped_back_still_takes_a_jwt_of_just_now() -> None:
    assert represented(KEY, mint(KEY, "tok_1", NOW, 60), NOW - 30).token_id == "tok_1"


@pytest.mark.parametrize("step_seconds", [61, 3600, 86_400_000])
def test_a_jwt_of_the_future_is_refused_and_lives_no_longer_than_it_says(step_seconds: int) -> None:
    text = mint(KEY, "tok_1", NOW, 60)
    with pytest.raises(Unauthenticated):
        represented(KEY, text, NOW - step_seconds)
    assert represented(KEY, text, NOW).token_id == "tok_1"


def test_what_the_tests_forge_is_taken_when_nothing_is_wrong_with_it() -> None:
    assert represented(KEY, forged(), NOW).token_id == "tok_1"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(forged(OTHER_KEY), id="another key"),
        pytest.param(forged(b"k" * 64, "HS512"), id="another algorithm"),
        pytest.param(forged("", "none"), id="no signature"),
        pytest.param(forged(headers={"typ": "hw+jwt"}), id="no key id"),
        pytest.param(forged(headers={"typ": "hw+jwt", "kid": "2"}), id="another key id"),
        pytest.param(forged(headers={"typ": "JWT", "kid": "1"}), id="another type"),
        pytest.param(forged(iss="elsewhere"), id="another issuer"),
        pytest.param(forged(iss=None), id="no issuer"),
        pytest.param(forged(aud="elsewhere"), id="another audience"),
        pytest.param(forged(aud=None), id="no audience"),
        pytest.param(forged(sub=None), id="no token"),
        pytest.param(forged(iat=None), id="no beginning"),
        pytest.param(forged(exp=None), id="no end"),
        pytest.param(forged(exp=NOW), id="ended"),
        pytest.param(forged(exp=float(NOW + 60)), id="an end that is no integer"),
        pytest.param("", id="nothing"),
        pytest.param("a.b.c", id="three parts of nothing"),
        pytest.param("å.å.å", id="letters that base64 lacks"),
    ],
)
def test_a_jwt_that_differs_in_one_thing_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        represented(KEY, text, NOW)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_jwt_with_one_changed_part_is_refused(part: int) -> None:
    parts = mint(KEY, "tok_1", NOW, 60).split(".")
    parts[part] = mint(KEY, "tok_2", NOW + 1, 90).split(".")[part] if part else "e30"
    with pytest.raises(Unauthenticated):
        represented(KEY, ".".join(parts), NOW)


def test_a_jwt_holds_no_more_than_the_id_and_its_times() -> None:
    payload = mint(KEY, "tok_1", NOW, 60).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) == CLAIMS
    assert (CLAIMS["iss"], CLAIMS["aud"]) == (short_tokens.ISSUER, short_tokens.AUDIENCE)

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from headwater.feed.kinds import After, RecordKind, joined
from headwater.store.database import Transaction

NO_TX = cast("Transaction", None)
Seen = list[tuple[str, int, str, bool]]


def kind(name: str, **more: Any) -> RecordKind:
    return RecordKind(name, "contacts", frozenset(), lambda _body: {}, lambda *_: None, **more)  # type: ignore[arg-type]


def noting(seen: Seen, word: str) -> After:
    def after(_tx: Transaction, feed: int, id: str, created: bool) -> None:
        seen.append((word, feed, id, created))

    return after


def follows(seen: Seen, *names: str) -> Mapping[str, After]:
    return {name: noting(seen, "follows " + name) for name in names}


def test_a_kind_that_no_other_follows_stays_as_it_is() -> None:
    lone, other = kind("contact"), kind("note")
    assert joined([lone, other]) == (lone, other)


def test_a_follower_runs_after_the_kinds_own_work() -> None:
    seen: Seen = []
    contact = kind("contact", after=noting(seen, "own"))
    affiliation = kind("affiliation", follows=follows(seen, "contact"))
    joined([affiliation, contact])[1].after(NO_TX, 5, "c-1", True)
    assert seen == [("own", 5, "c-1", True), ("follows contact", 5, "c-1", True)]


def test_all_followers_run_in_the_order_of_the_kinds() -> None:
    seen: Seen = []
    first = kind("a", follows={"contact": noting(seen, "a")})
    second = kind("b", follows={"contact": noting(seen, "b")})
    joined([kind("contact"), first, second])[0].after(NO_TX, 1, "c-1", False)
    assert [word for word, *_ in seen] == ["a", "b"]


def test_a_follower_of_one_kind_does_not_run_after_another() -> None:
    seen: Seen = []
    found = joined([kind("contact"), kind("note"), kind("a", follows=follows(seen, "note"))])
    found[0].after(NO_TX, 1, "c-1", True)
    assert seen == []


def test_a_kind_may_follow_one_that_no_contract_has() -> None:
    seen: Seen = []
    only = kind("a", follows=follows(seen, "contact"))
    assert joined([only]) == (only,)


def test_joining_leaves_the_given_kinds_alone() -> None:
    seen: Seen = []
    contact = kind("contact", after=noting(seen, "own"))
    joined([contact, kind("a", follows=follows(seen, "contact"))])
    contact.after(NO_TX, 1, "c-1", True)
    assert [word for word, *_ in seen] == ["own"]


def test_a_kind_entails_nothing_unless_it_says_so() -> None:
    plain = kind("contact")
    plain.after(NO_TX, 1, "c-1", True)
    assert plain.follows == {}

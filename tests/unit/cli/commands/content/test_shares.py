"""``headwater share``: shares made, shown and given to others, on a folder that had its first start."""

from __future__ import annotations

import pytest

from headwater.contracts.files.apply import conflicts
from headwater.contracts.files.apply.conflicts import Wish
from headwater.contracts.files.apply.decision import ConflictKind, NewConflict
from headwater.contracts.files.apply.inputs import Strategy
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.apply.shapes import ChangeItem
from headwater.store.database import Transaction
from tests.unit.cli.conftest import Shares


def test_a_made_share_is_listed_and_belongs_to_the_first_starts_admin(share: Shares) -> None:
    admin = share.run("token", "list", "--json").json[0]["user_id"]
    made = share.create("--quota", "10GiB")
    assert (made["owner"], made["quota_bytes"], made["files"], made["bytes"]) == (admin, 10 * 2**30, 0, 0)
    assert (made["case_sensitive"], made["any_names"], made["members"]) == (False, False, [])
    assert [row["id"] for row in share("list", "--json").json] == [made["id"]]
    shown = share("list").out.splitlines()
    assert shown[0].split()[:5] == ["ID", "NAME", "ORGANISATION", "OWNER", "FILES"]
    assert made["id"] in shown[1]


def test_a_share_takes_the_owner_and_the_names_that_are_asked_for(share: Shares) -> None:
    user = share.user()
    made = share.create("--owner", user, "--case-sensitive", "--any-names")
    assert (made["owner"], made["case_sensitive"], made["any_names"]) == (user, True, True)
    refused = share("create", "X", "--org", "default", "--owner", "usr_nobody", "--json")
    assert (refused.code, refused.problem["code"]) == (1, "NOT_FOUND")


def test_shares_of_another_organisation_are_told_apart(share: Shares) -> None:
    share.run("org", "create", "org_hlf")
    other = share("create", "Theirs", "--org", "org_hlf", "--json").json
    share.create()
    assert other["organisation"] == "org_hlf"
    assert len(share("list", "--json").json) == 2
    assert [row["id"] for row in share("list", "--org", "org_hlf", "--json").json] == [other["id"]]
    foreign = share.user("org_hlf")
    assert share("create", "X", "--org", "default", "--owner", foreign).code == 1


def test_members_come_in_change_their_level_and_go(share: Shares) -> None:
    made, user = share.create()["id"], share.user()
    share.run("chapter", "create", "Oslo", "--org", "default", "--id", "osl")
    for who, level in ((f"user:{user}", "read"), ("role:coordinator", "write"), ("chapter:osl", "manage")):
        assert share("grant", made, who, level).code == 0
    share("grant", made, "role:coordinator", "read")
    assert share.members(made) == [
        ("chapter", "osl", "MANAGE"), ("role", "coordinator", "READ"), ("user", user, "READ"),
    ]  # fmt: skip
    assert "role:coordinator=read" in share("show", made).out
    assert share("revoke", made, "role:coordinator").code == 0
    assert share.members(made) == [("chapter", "osl", "MANAGE"), ("user", user, "READ")]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("grant", "SHARE", "user:usr_nobody", "read"), 1, "there is no user 'usr_nobody'"),
        (("grant", "SHARE", "role:boss", "read"), 1, "there is no role 'boss'; there are peer_mentor, coordinator"),
        (("grant", "SHARE", "chapter:none", "read"), 1, "there is no chapter 'none'"),
        (("grant", "SHARE", "everybody", "read"), 2, "role:NAME"),
        (("grant", "SHARE", "role:coordinator", "own"), 2, "manage"),
        (("revoke", "SHARE", "role:coordinator"), 1, "is no member"),
        (("quota", "SHARE", "much"), 2, "10GiB"),
        (("quota", "SHARE", "9999999TiB"), 2, "10GiB"),
        (("show", "shr_none"), 1, "no share 'shr_none'; 'headwater share list' shows"),
        (("grant", "shr_none", "role:coordinator", "read"), 1, "no share"),
        (("quota", "shr_none", "1GiB"), 1, "no share"),
        (("conflicts", "shr_none"), 1, "no share"),
        (("delete", "shr_none", "--yes"), 1, "no share"),
        (("create", " ", "--org", "default"), 2, "name"),
        (("create", "X", "--org", "default", "--quota", "5XB"), 2, "10GiB"),
        (("create", "x" * 201, "--org", "default"), 2, "name"),
        (("create", "X", "--org", "nobody"), 1, "headwater org create nobody"),
        (("list", "--org", "nobody"), 1, "headwater org create nobody"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    share: Shares, arguments: tuple[str, ...], code: int, says: str
) -> None:
    made = share.create()["id"]
    done = share(*(made if word == "SHARE" else word for word in arguments))
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_a_quota_is_set_and_taken_away(share: Shares) -> None:
    made = share.create()["id"]
    sizes = [
        share("quota", made, size, "--json").json["quota_bytes"] for size in ("10GiB", "512 MiB", "7", "0", "none")
    ]
    assert sizes == [10 * 2**30, 2**29, 7, 0, None]


def test_a_share_is_deleted_only_when_that_is_confirmed(share: Shares, monkeypatch: pytest.MonkeyPatch) -> None:
    made = share.create()["id"]
    unasked = share("delete", made)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    answers = iter([False, True])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: next(answers))
    assert share("delete", made).code == 1
    assert len(share("list", "--json").json) == 1
    assert share("delete", made).code == 0
    assert share("list", "--json").json == []


def test_the_open_conflicts_of_a_share_are_listed(share: Shares) -> None:
    made = share.create()["id"]
    assert "no open conflicts" in share("conflicts", made).err

    def transaction(tx: Transaction) -> str:
        feed = tx.value("SELECT feed FROM shares WHERE id = ?", made)
        item = ChangeItem(resource_type="file", change_type="updated", resource_id="fil_1", new_path="/a.txt")
        conflict = NewConflict(ConflictKind.CONTENT, "fil_1", "ver_device", "ver_server", None)
        wish = Wish("laptop", Strategy.MANUAL, item, None)
        return conflicts.record(tx, Rows(tx, feed), feed, wish, conflict).id

    with share.installed.database() as database:
        ids = [database.write_now(transaction) for _ in range(2)]
    found = share("conflicts", made, "--json").json
    assert [row["id"] for row in found] == ids[::-1]
    assert {name: found[0][name] for name in ("kind", "path", "device_version", "server_version")} == {
        "kind": "content", "path": "/a.txt", "device_version": "ver_device", "server_version": "ver_server",
    }  # fmt: skip
    assert found[0]["since_at"].endswith("Z")

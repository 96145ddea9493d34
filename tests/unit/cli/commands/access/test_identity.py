"""``headwater token``, ``org``, ``chapter`` and ``device``, on a folder that had its first start."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.feed import devices
from headwater.feed.sightings import CallingDevice
from headwater.identity import tokens
from headwater.identity.roles import Role
from headwater.store.database import Transaction
from tests.unit.cli.conftest import Command, Done, Installed


def test_a_made_token_is_shown_alone_on_standard_output_and_is_good(command: Command, installed: Installed) -> None:
    made = command(
        "token", "create", "--data", installed.folder, "--org", "default", "--role", "coordinator",
        "--scope", "contacts", "--scope", "cache:read,sync", "--label", "phone app",
    )  # fmt: skip
    text = made.out.strip()
    assert (made.code, len(text)) == (0, 64)
    assert text not in made.err
    with installed.database() as database:
        found = database.read_now(lambda tx: tokens.principal_of_hash(tx, tokens.digest(text), tx.now_us))
    assert found is not None
    assert (found.role.wire, sorted(found.scopes)) == ("coordinator", ["cache:read", "contacts", "sync"])


def test_tokens_are_listed_with_their_state_and_never_themselves(command: Command, installed: Installed) -> None:
    at = ("--data", installed.folder)
    made = command(
        "token",
        "create",
        *at,
        "--org",
        "default",
        "--role",
        "org_admin",
        "--scope",
        "sync",
        "--expires",
        "90d",
        "--json",
    ).json
    revoked = command("token", "revoke", made["id"], *at)
    assert (revoked.code, "revoked" in revoked.out) == (0, True)
    listed = command("token", "list", *at, "--json")
    assert [(row["label"], row["state"]) for row in listed.json] == [("admin (first start)", "good"), ("", "revoked")]
    assert made["token"] not in listed.out
    assert [row["id"] for row in command("token", "list", *at, "--org", "nobody", "--json").json] == []
    shown = command("token", "list", *at)
    assert shown.out.splitlines()[0].split()[:3] == ["ID", "ORG", "USER"]
    assert made["id"] in shown.out


def test_revoking_again_is_harmless_and_an_unknown_token_is_not_found(command: Command, installed: Installed) -> None:
    at = ("--data", installed.folder)
    id = command("token", "list", *at, "--json").json[0]["id"]
    assert [command("token", "revoke", id, *at).code for _ in range(2)] == [0, 0]
    unknown = command("token", "revoke", "tok_none", *at, "--json")
    assert (unknown.code, unknown.problem["code"]) == (1, "NOT_FOUND")


def test_a_user_may_have_several_tokens_and_is_named_by_id_or_by_name(command: Command, installed: Installed) -> None:
    def make(user: str, role: str = "coordinator", org: str = "default") -> Done:
        return command(
            "token", "create", "--org", org, "--role", role, "--scope", "files", "--user", user, "--json",
            "--data", installed.folder,
        )  # fmt: skip

    anna = make("anna").json["user_id"]
    assert [make(text).json["user_id"] for text in ("anna", anna)] == [anna, anna]
    assert make("berit").json["user_id"] != anna
    assert make("usr_none").problem["code"] == "NOT_FOUND"
    other = make("anna", role="org_admin")
    assert (other.code, f"{anna} has the role coordinator" in other.problem["detail"]) == (1, True)
    assert command("org", "create", "org_hlf", "--data", installed.folder).code == 0
    assert make("anna", org="org_hlf").json["user_id"] != anna
    assert make(anna, org="org_hlf").problem["code"] == "NOT_FOUND"
    with installed.database() as database:
        database.write_now(lambda tx: tokens.create(tx, "default", Role.COORDINATOR, ["files"], user_name="anna"))
    assert anna in make("anna").problem["detail"]
    assert make(anna).json["user_id"] == anna


def test_a_made_token_tells_its_user_on_a_terminal_too(command: Command, installed: Installed) -> None:
    at = ("--data", installed.folder)
    made = command("token", "create", "--org", "default", "--role", "coordinator", "--scope", "files", *at)
    assert command("token", "list", *at, "--json").json[1]["user_id"] in made.err


@pytest.mark.parametrize(
    ("changed", "code", "says"),
    [
        ({"--role": "boss"}, 2, "peer_mentor"),
        ({"--scope": "everything"}, 2, "terminology"),
        ({"--scope": " "}, 2, "needs a scope"),
        ({"--org": "nobody"}, 1, "headwater org create nobody"),
        ({"--expires": "soon"}, 2, "90d"),
        ({"--expires": "0d"}, 2, "not in the future"),
        ({"--expires": "2020-01-01T00:00:00Z"}, 2, "not in the future"),
        ({"--expires": "999999w"}, 2, "too far"),
    ],
)
def test_a_token_that_cannot_be_made_is_refused_with_what_can(
    command: Command, installed: Installed, changed: dict[str, str], code: int, says: str
) -> None:
    options = {"--org": "default", "--role": "coordinator", "--scope": "sync", **changed}
    flat = [part for option in options.items() for part in option]
    refused = command("token", "create", "--data", installed.folder, *flat)
    assert (refused.code, refused.out) == (code, "")
    assert says in refused.err
    assert len(command("token", "list", "--data", installed.folder, "--json").json) == 1


def test_an_organisation_is_made_once_and_listed_with_what_it_holds(command: Command, installed: Installed) -> None:
    at = ("--data", installed.folder)
    made = command("org", "create", "org_hlf", "--name", "Hørsel", *at, "--json")
    assert made.json["name"] == "Hørsel"
    again = command("org", "create", "org_hlf", *at, "--json")
    assert (again.code, again.problem["code"]) == (1, "ORGANISATION_EXISTS")
    assert command("org", "create", "bad\nid", *at).code == 1
    listed = command("org", "list", *at, "--json").json
    assert [(row["id"], row["contacts"], row["head"]) for row in listed] == [("default", 0, 0), ("org_hlf", 0, 0)]


def test_chapters_are_made_listed_and_renamed(command: Command, installed: Installed) -> None:
    at = ("--org", "default", "--data", installed.folder)
    assert command("chapter", "create", "Oslo", "--id", "osl", *at).code == 0
    assert command("chapter", "create", "Oslo", "--id", "osl", *at, "--json").problem["code"] == "CHAPTER_EXISTS"
    assert command("chapter", "rename", "osl", "Oslo vest", *at, "--json").json["name"] == "Oslo vest"
    assert [row["name"] for row in command("chapter", "list", *at, "--json").json] == ["Oslo vest"]
    assert command("chapter", "rename", "trd", "Trondheim", *at, "--json").problem["code"] == "NOT_FOUND"
    for arguments in (["list"], ["create", "Oslo"]):
        refused = command("chapter", *arguments, "--org", "nobody", "--data", installed.folder, "--json")
        assert refused.problem["code"] == "NOT_FOUND"


def test_users_are_put_into_a_chapter_listed_and_taken_out(command: Command, installed: Installed) -> None:
    at = ("--org", "default", "--data", installed.folder)
    command("chapter", "create", "Oslo", "--id", "osl", *at)
    admin = command("token", "list", "--data", installed.folder, "--json").json[0]["user_id"]
    assert command("chapter", "users", "osl", *at).out == ""
    for _ in range(2):
        [row] = command("chapter", "add-user", "osl", admin, *at, "--json").json
        assert (row["id"], row["role"]) == (admin, "global_admin")
    assert [row["id"] for row in command("chapter", "users", "osl", *at, "--json").json] == [admin]
    for _ in range(2):
        assert command("chapter", "remove-user", "osl", admin, *at, "--json").json == []
    for arguments in (["users", "trd"], ["add-user", "trd", admin], ["remove-user", "osl", "usr_none"]):
        assert command("chapter", *arguments, *at, "--json").problem["code"] == "NOT_FOUND"


def test_devices_are_listed_with_their_lag_until_they_are_deactivated(command: Command, installed: Installed) -> None:
    def transaction(tx: Transaction) -> None:
        tx.run(
            "INSERT INTO devices (organisation, device_id, door, id, user_id, device_name, platform, client_version,"
            " is_active, last_seen_us, created_us) VALUES ('default', 'abc', 'sell', 'dev_1', 'usr_1', 'till\x1b[31m',"
            " 'linux', '1.0', 1, 5000000, 1000000)"
        )
        tx.run("INSERT INTO device_positions (feed, device, position, at_us) VALUES (1, 'dev_1', 40, 5000000)")
        tx.bump(1, "head", 42)

    with installed.database() as database:
        database.write_now(transaction)
    at = ("--data", installed.folder)
    row = command("device", "list", *at, "--json").json[0]
    assert (row["feed"], row["position"], row["head"], row["lag"]) == ("org:default", 40, 42, 2)
    assert row["last_seen_at"] == "1970-01-01T00:00:05Z"
    assert "\x1b" not in command("device", "list", *at).out
    assert command("device", "deactivate", "dev_1", *at, "--json").json[0]["active"] is False
    assert command("device", "list", *at, "--json").json == []
    assert [row["id"] for row in command("device", "list", "--all", *at, "--json").json] == ["dev_1"]
    assert "--all" in command("device", "list", *at).err
    unknown = command("device", "list", "--org", "nix", *at, "--json")
    assert (unknown.code, unknown.problem["detail"]) == (1, "no organisation 'nix'; 'headwater org list' lists them")
    assert command("device", "deactivate", "dev_2", *at, "--json").problem["code"] == "NOT_FOUND"


def test_a_device_is_deactivated_by_the_clients_own_id_when_only_one_has_it(
    command: Command, installed: Installed
) -> None:
    def transaction(tx: Transaction) -> None:
        for door, name in (("sell", "till"), ("files", "till"), ("files", "laptop")):
            devices.claim(tx, CallingDevice("default", door, name, "usr_1"))

    with installed.database() as database:
        database.write_now(transaction)
    at = ("--data", installed.folder, "--json")
    ids = {(row["door"], row["device"]): row["id"] for row in command("device", "list", *at).json}
    [done] = command("device", "deactivate", "laptop", *at).json
    assert (done["id"], done["active"]) == (ids["files", "laptop"], False)
    both = command("device", "deactivate", "till", *at)
    assert (both.code, all(ids[door, "till"] in both.problem["detail"] for door in ("sell", "files"))) == (1, True)


def test_a_folder_that_nobody_served_holds_nothing_to_work_on(command: Command, tmp_path: Path) -> None:
    missing = command("org", "list", "--data", tmp_path / "nothing", "--json")
    assert (missing.code, missing.problem["code"]) == (1, "NOT_INSTALLED")
    assert not (tmp_path / "nothing").exists()


def test_a_database_with_an_older_schema_is_not_touched(command: Command, installed: Installed) -> None:
    with installed.database() as database:
        last = database.read_now(lambda tx: tx.value("SELECT max(name) FROM schema_steps"))
        database.write_now(lambda tx: tx.run("DELETE FROM schema_steps WHERE name = ?", last))
    refused = command("org", "list", "--data", installed.folder)
    assert refused.code == 1
    assert last in refused.err
    assert "Start the server once" in refused.err

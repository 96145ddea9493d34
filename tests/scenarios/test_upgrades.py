"""Data of earlier versions is brought up to date, and no device of theirs misses or doubts anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from headwater import __version__
from headwater.cli.main import main
from headwater.installation import restore
from headwater.installation.progress import silent
from tests.support.file_share import created
from tests.support.upgrade import VERSIONS, Earlier, Played, empty_database, holds, settings_at

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
pytestmark = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(params=KINDS)
def earlier(request: pytest.FixtureRequest, version: str, tmp_path: Path) -> Iterator[Earlier]:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    if request.param == "sqlite":
        yield Earlier(version, "sqlite", folder)
        return
    with empty_database():
        yield Earlier(version, "postgres", folder)


@pytest.fixture
def played(earlier: Earlier) -> Iterator[Played]:
    with earlier.served(earlier.unpack()) as opened:
        yield opened


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.partition(".dev")[0])]


def test_the_version_is_higher_than_that_of_every_data_folder_kept(version: str) -> None:
    assert numbers(__version__) > numbers(version)


def test_verify_finds_nothing_in_data_that_was_brought_up_to_date(
    earlier: Earlier, capsys: pytest.CaptureFixture[str]
) -> None:
    address = earlier.unpack()
    with earlier.served(address):
        pass
    place = [] if earlier.kind == "sqlite" else ["--database", address]
    code = main(["verify", "--data", str(earlier.folder), *place])
    assert code == 0, capsys.readouterr()
    capsys.readouterr()
    main(["doctor", "--data", str(earlier.folder), *place, "--json"])
    checks = {check["check"]: check["state"] for check in json.loads(capsys.readouterr().out)}
    assert (checks["schema"], checks["contents"]) == ("ok", "ok")


def test_old_cursors_of_the_record_feed_continue_with_exactly_what_they_were_owed(played: Played) -> None:
    for name, one in played.known["feed"]["cursors"].items():
        found = played.feed(one["cursor"])
        assert holds(found, [without_revision(change) for change in one["owed"]]), name
        assert all(change["revision"] >= old["revision"] for change, old in zip(found, one["owed"], strict=True))
    assert holds(played.feed(None), [without_revision(change) for change in played.known["feed"]["state"]])


def without_revision(change: dict[str, Any]) -> dict[str, Any]:
    """A later version may count revisions by the position; they only grow."""
    return {name: value for name, value in change.items() if name != "revision"}


def test_sell_devices_get_exactly_what_they_were_owed(played: Played) -> None:
    for name, device in played.known["sell"].items():
        assert holds(played.sell(name, device["token"]), device["owed"]), name
        assert played.sell(name, device["token"]).keys() == device["owed"].keys(), name


def test_a_change_after_the_upgrade_reaches_every_device_and_nothing_else_does(played: Played) -> None:
    known = played.known
    heads = {name: played.feed(one["cursor"]) for name, one in known["feed"]["cursors"].items()}
    new = played.client().post("/api/v1/contacts", json={"first_name": "After the upgrade"}).json()
    assert new["contact_id"] not in {contact["contact_id"] for contact in known["contacts"]}
    for name, one in known["feed"]["cursors"].items():
        more = played.feed(one["cursor"])[len(heads[name]) :]
        assert [(change["id"], change["op"]) for change in more] == [(new["contact_id"], "put")]
        assert all(change["position"] < more[0]["position"] for change in heads[name])
    for name, device in known["sell"].items():
        found = played.sell(name, device["token"])
        added = found.keys() - device["owed"].keys()
        assert [found[item][0] for item in added] == ["created"]
        assert added.isdisjoint(device["held"]), "an integer id was given twice"


def test_old_cursors_of_shares_continue_with_exactly_what_they_were_owed(played: Played) -> None:
    files = played.known["files"]
    for name, one in files["cursors"].items():
        assert holds(played.files(one["cursor"], share=name != "everywhere"), one["owed"]), name
    assert holds(played.files("0"), files["state"])


def test_files_devices_keep_their_checkpoint_their_choices_their_trash_and_their_conflicts(played: Played) -> None:
    client, share, files = played.client(), played.known["share"], played.known["files"]
    status = client.get(f"/api/v1/sync/status?share_id={share}&device_id=laptop").json()
    assert holds(status, files["status"])
    assert holds(client.get("/api/v1/sync/devices/desktop/preferences").json(), files["preferences"])
    assert holds(client.get(f"/api/v1/sync/conflicts?share_id={share}").json(), files["conflicts"])
    trash = client.get(f"/api/v1/shares/{share}/trash").json()["data"]
    assert [node["id"] for node in trash] == [node["id"] for node in files["trash"]["data"]]


def test_every_file_has_its_bytes_and_its_etag_matches_or_fails_safe(played: Played) -> None:
    for file, (etag, digest) in played.known["files"]["contents"].items():
        path = f"/api/v1/sync/download/{file}"
        got = played.client().get(path)
        assert (got.status, sha256(got.body).hexdigest()) == (200, digest)
        assert played.client().get(path, headers={"If-None-Match": etag}).status in {200, 304}


def test_what_was_staged_and_half_uploaded_is_finished(played: Played) -> None:
    client, files = played.client(), played.known["files"]
    put = client.put(f"/api/v1/uploads/{files['half']}/chunks/1", content=b"last")
    assert put.status == 200, put.text
    done = client.post(f"/api/v1/uploads/{files['half']}/complete").json()
    items = [created("/staged.txt", files["staged"]), created("/half.bin", done["version_id"])]
    body = {"device_id": "laptop", "share_id": played.known["share"], "conflict_resolution": "KEEP_BOTH"}
    applied = client.post("/api/v1/sync/apply", json={**body, "changes": items}).json()
    assert len(applied["applied"]) == 2, applied
    found = client.get(f"/api/v1/sync/download/{applied['applied'][1]['resource_id']}")
    assert found.body == b"0123456789abcdef" * 4096 + b"last"


def test_etags_of_records_match_or_fail_safe_and_never_pass_for_a_later_state(played: Played) -> None:
    client = played.client()
    for path, etag in played.known["etags"].items():
        answer = client.get(path, headers={"If-None-Match": etag})
        assert answer.status in {200, 304}, path
    path, etag = "/api/v1/contacts/c-00001", played.known["etags"]["/api/v1/contacts/c-00001"]
    assert client.put(path, json={"phone": "9"}).status == 200
    assert client.put(path, json={"phone": "8"}, headers={"If-Match": etag}).problem()[0] == 412
    assert client.get(path, headers={"If-None-Match": etag}).status == 200


def test_requests_repeated_with_their_key_get_their_first_answer(played: Played) -> None:
    for one in played.known["repeats"]:
        headers = {"Idempotency-Key": one["key"]}
        again = played.client(one["token"]).request(one["method"], one["path"], json=one["body"], headers=headers)
        assert (again.status, again.json()) == (one["status"], one["answer"])


def test_edits_repeated_by_devices_get_their_first_outcome(played: Played) -> None:
    push, files = played.known["push"], played.known["files"]
    assert played.client().post("/api/v1/feed/push", json=push["body"]).json() == push["answer"]
    again = played.client().post("/api/v1/sync/apply", json=files["made"]["body"]).json()
    assert holds(again["applied"], files["made"]["answer"]["applied"])
    for one in files["losing"]:
        again = played.client().post("/api/v1/sync/apply", json=one["body"]).json()
        first = one["answer"]["conflicts"][0] if "conflicts" in one["answer"] else one["answer"]["errors"][0]
        assert holds(again["conflicts"][0], {name: first[name] for name in ("index", "conflict_id") if name in first})


def test_an_old_base_meets_the_edits_after_the_upgrade(played: Played) -> None:
    client = played.client()
    client.put("/api/v1/contacts/c-00020", json={"phone": "of the server"})
    change = {"client_change_id": "n1", "kind": "contact", "id": "c-00020", "op": "put", "base_revision": 1}
    body = {"device_id": "new tablet", "changes": [{**change, "fields": {"phone": "of the device"}}]}
    assert client.post("/api/v1/feed/push", json=body).json()["results"][0]["outcome"] == "conflict"


def test_terminology_and_tokens_are_as_before(played: Played) -> None:
    assert holds(played.client().get("/api/v1/terminology-sync/hlf").json(), played.known["terminology"])
    assert played.client("revoked").get("/api/v1/contacts").status == 401
    assert played.client("reader").get("/api/v1/contacts").status == 200
    assert played.client("reader").post("/api/v1/contacts", json={"first_name": "No"}).status == 403
    assert played.client("other").get("/api/v1/contacts/c-00001").status == 404


@pytest.mark.parametrize("into", KINDS)
def test_a_backup_of_an_earlier_version_is_restored_whole_on_either_database(
    version: str, into: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("sqlite", "postgres"):
        folder = tmp_path / kind
        earlier = Earlier(version, kind, folder)
        with empty_database_of(into, folder) as address:
            settings = settings_at(folder, address)
            done = restore.restore(earlier.backup, settings, replace=False, report=silent)
            assert done.findings == []
            place = [] if into == "sqlite" else ["--database", address]
            assert main(["verify", "--data", str(folder), *place]) == 0, capsys.readouterr()
            (folder / "admin.token").touch()
            with earlier.served(address) as played:
                assert_restored(played)


def empty_database_of(kind: str, folder: Path) -> Any:
    from contextlib import nullcontext

    return empty_database() if kind == "postgres" else nullcontext(str(folder / "headwater.sqlite"))


def assert_restored(played: Played) -> None:
    """All is there, and each client notices the restore."""
    known = played.known
    present = {(one["kind"], one["id"]): one["body"] for one in played.feed(None)}
    expected = {(one["kind"], one["id"]): one["body"] for one in known["feed"]["state"]}
    assert present.keys() == expected.keys()
    assert all(holds(present[name], body) for name, body in expected.items())
    fresh = played.sell("never seen", "hlf")
    assert holds(fresh, known["sell"]["fresh"]["owed"])
    for file, (_, digest) in known["files"]["contents"].items():
        assert sha256(played.client().get(f"/api/v1/sync/download/{file}").body).hexdigest() == digest
    for name, device in known["sell"].items():
        found = played.sell(name, device["token"])
        assert fresh.keys() <= found.keys(), f"{name} gets everything anew"
        gone = device["held"].keys() - fresh.keys()
        assert {item: found[item][0] for item in gone} == dict.fromkeys(gone, "deleted"), name
    for one in known["feed"]["cursors"].values():
        assert_restored_cursor(played, f"/api/v1/feed?cursor={quote(one['cursor'])}")
    for name, one in known["files"]["cursors"].items():
        share = "" if name == "everywhere" else f"&share_id={known['share']}"
        assert_restored_cursor(played, f"/api/v1/sync/changes?cursor={quote(one['cursor'])}{share}")


def assert_restored_cursor(played: Played, path: str) -> None:
    answer = played.client().get(path)
    assert answer.problem() == (400, "SYNC_CURSOR_INVALID"), answer.text
    assert answer.json()["reason"] == "restored", answer.text

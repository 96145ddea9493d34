"""A backup of either database restores into either, and every command works on both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import headwater, running
from tests.support.store.databases import UNMADE

CONTACTS = "/api/v1/contacts"
KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


class Place:
    """An installation: its folder, and the options that name it."""

    def __init__(self, folder: Path, kind: str, address: str) -> None:
        self.folder = folder
        self.more = ("--database", address) if kind == "postgres" else ()

    def run(self, *arguments: str | Path, code: int = 0) -> Any:
        done = headwater(*arguments, "--data", self.folder, *self.more, "--json")
        assert "Traceback" not in done.stdout + done.stderr
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout or done.stderr.splitlines()[-1])


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Place]]:
    """Two installations that were never served, of the kinds that the test names."""
    with ExitStack() as stack:
        found = []
        for number, kind in enumerate(request.param):
            folder = tmp_path / f"place{number}"
            folder.mkdir()
            found.append(Place(folder / "data", kind, stack.enter_context(UNMADE[kind](folder))))
        yield found


def pairs() -> list[Any]:
    """Every kind restored into every kind; two PostgreSQL databases of tests share a server and a name."""
    mark = [pytest.mark.postgres]
    return [
        pytest.param(("sqlite", "postgres"), marks=mark, id="sqlite-postgres"),
        pytest.param(("postgres", "sqlite"), marks=mark, id="postgres-sqlite"),
    ]


@pytest.mark.parametrize("places", pairs(), indirect=True)
def test_a_backup_restores_into_the_other_database(places: list[Place], tmp_path: Path) -> None:
    old, new = places
    backup = tmp_path / "b.tar.zst"
    with running(old.folder, *old.more) as served:
        made = [served.call("POST", CONTACTS, {"first_name": f"Bjørn {n}"})["contact_id"] for n in range(5)]
        served.call("PUT", f"{CONTACTS}/{made[1]}", {"last_name": "Dahl"})
        served.call("DELETE", f"{CONTACTS}/{made[2]}")
        cursor = served.call("GET", "/api/v1/feed")["cursor"]
        assert old.run("verify") == []
        assert old.run("backup", backup)["heads"] == {"org:default": 7}
        before = served.call("GET", CONTACTS)
        assert old.run("device", "list") == []
        served.stop()
    restored = new.run("restore", backup)
    assert (restored["findings"], restored["replaced"]) == ([], None)
    assert new.run("verify") == []
    # The PostgreSQL of tests runs without fsync, which is bad indeed.
    found = json.loads(headwater("doctor", "--data", new.folder, *new.more, "--json").stdout)
    assert {row["check"] for row in found if row["state"] == "bad"} <= {"fsync", "full_page_writes"}
    assert {"schema", "contents"} <= {row["check"] for row in found if row["state"] == "ok"}
    tokens = {row["id"] for row in old.run("token", "list")}
    assert len({row["id"] for row in new.run("token", "list")} - tokens) == 1, "the restore's own admin token"
    assert tokens <= {row["id"] for row in new.run("token", "list")}
    with running(new.folder, *new.more) as served:
        assert served.admin_token != (old.folder / "admin.token").read_text().strip()
        assert served.call("GET", CONTACTS) == before
        next_made = served.call("POST", CONTACTS, {"first_name": "Next"})["contact_id"]
        assert next_made not in made
        page = served.call("GET", "/api/v1/feed")
        *kept, last = [change["position"] for change in page["changes"]]
        assert kept == [1, 4, 5, 6]
        assert last > 8, "a gap of positions shows the restore"
        assert page["cursor"] != cursor
        served.stop()


@pytest.mark.postgres
@pytest.mark.parametrize("places", [pytest.param(("postgres",), id="postgres")], indirect=True)
def test_a_restore_into_a_used_postgres_database_moves_its_tables_aside(places: list[Place], tmp_path: Path) -> None:
    (place,) = places
    backup = tmp_path / "b.tar"
    with running(place.folder, *place.more) as served:
        kept = served.call("POST", CONTACTS, {"first_name": "Kept"})["contact_id"]
        place.run("backup", backup)
        served.call("POST", CONTACTS, {"first_name": "Lost"})
        elsewhere = ("restore", backup, "--force", "--data", tmp_path / "elsewhere", *place.more, "--json")
        refused = json.loads(headwater(*elsewhere).stderr.splitlines()[-1])
        assert refused["error"]["code"] == "DATABASE_IN_USE"
        served.stop()
    assert place.run("restore", backup, code=1)["error"]["code"] == "DATABASE_NOT_EMPTY"
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(backup.read_bytes()[:-2000])
    assert place.run("restore", damaged, "--force", code=1)["error"]["code"] == "BACKUP_DAMAGED"
    assert place.run("org", "list")[0]["contacts"] == 2
    done = place.run("restore", backup, "--force")
    assert done["replaced"].startswith("the schema replaced_")
    assert place.run("org", "list")[0]["contacts"] == 1
    with running(place.folder, *place.more) as served:
        assert [row["contact_id"] for row in served.call("GET", CONTACTS)["data"]] == [kept]
        served.stop()


@pytest.mark.postgres
@pytest.mark.parametrize("places", [pytest.param(("postgres",), id="postgres")], indirect=True)
def test_a_restore_that_fails_puts_the_old_tables_back(places: list[Place], tmp_path: Path) -> None:
    (place,) = places
    backup = tmp_path / "b.tar"
    with running(place.folder, *place.more) as served:
        served.call("POST", CONTACTS, {"first_name": "Kept"})
        place.run("backup", backup)
        served.stop()
    _repeat_a_page(backup)
    place.run("restore", backup, "--force", code=1)
    assert place.run("org", "list")[0]["contacts"] == 1
    assert place.run("verify") == []


def _repeat_a_page(backup: Path) -> None:
    """Write the backup again with one page of records twice, which its hashes allow and its keys do not."""
    import msgspec

    from headwater.installation import archive

    manifest = archive.check(backup)
    content = [(name, source.read()) for name, source in archive.members(backup) if not name.startswith("manifest")]
    twice = next(piece for name, piece in content if name.startswith("tables/records/"))
    with archive.create(backup) as writer:
        for name, piece in [*content, ("tables/records/000001.msgpack", twice)]:
            writer.add_bytes(name, piece)
        writer.finish(msgspec.structs.replace(manifest, members=tuple(writer.members)))


@pytest.mark.postgres
def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    for url in ("postgresql://hw@127.0.0.1:1/x", "postgresql://hw@127.0.0.1:port/x"):
        done = headwater("serve", "--data", tmp_path / "data", "--database", url, "--port", "0")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "headwater:" in done.stderr

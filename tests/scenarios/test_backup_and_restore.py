"""A backup that is made under load restores to a verified prefix of history, and clients notice."""

from __future__ import annotations

import json
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import RunningServer, headwater, running

CONTACTS = "/api/v1/contacts"
WRITERS = 3


def edit_for_ever(served: RunningServer, ended: threading.Event, failures: list[BaseException]) -> None:
    """Create contacts; change every second one and delete every third, so that positions are given up again."""
    number = 0
    try:
        while not ended.is_set():
            number += 1
            made = served.call("POST", CONTACTS, {"first_name": f"Ada {number}"})["contact_id"]
            if number % 2 == 0:
                served.call("PUT", f"{CONTACTS}/{made}", {"last_name": "Lovelace"})
            if number % 3 == 0:
                served.call("DELETE", f"{CONTACTS}/{made}")
    except Exception as failure:  # noqa: BLE001 - told on the test's own thread
        failures.append(failure)


@contextmanager
def load(served: RunningServer) -> Iterator[None]:
    ended, failures = threading.Event(), list[BaseException]()
    threads = [threading.Thread(target=edit_for_ever, args=(served, ended, failures)) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []


def feed(served: RunningServer, cursor: str = "") -> tuple[dict[int, dict[str, Any]], str]:
    """Every change from a cursor on, tombstones too when it is given; and the last cursor."""
    changes: dict[int, dict[str, Any]] = {}
    more = True
    while more:
        page = served.call("GET", f"/api/v1/feed?limit=5000{'&cursor=' + cursor if cursor else ''}")
        changes |= {change["position"]: change for change in page["changes"]}
        cursor, more = page["cursor"], page["has_more"]
    return changes, cursor


def head_of(data: Path) -> int:
    rows: list[dict[str, int]] = json.loads(headwater("org", "list", "--data", data, "--json").stdout)
    return rows[0]["head"]


@pytest.mark.parametrize("name", ["load.tar", "load.tar.zst"])
def test_a_backup_under_load_restores_to_a_prefix_and_old_cursors_say_so(tmp_path: Path, name: str) -> None:
    backup = tmp_path / name
    # No line for each request: the pipe that the server writes its log into is read at its end.
    with running(tmp_path / "old", "--set", "log.level=warning") as old:
        first = old.call("POST", CONTACTS, {"first_name": "First"})
        _, cursor = feed(old)
        with load(old):
            while head_of(old.data) < 100:
                pass
            made = headwater("backup", backup, "--data", old.data, "--json")
            after_backup = head_of(old.data)
            while head_of(old.data) < after_backup + 50:
                pass
        assert made.returncode == 0, made.stderr
        live, _ = feed(old, cursor)
        assert headwater("verify", "--data", old.data).returncode == 0
        old.stop()
    head = json.loads(made.stdout)["heads"]["org:default"]
    assert 100 <= head <= after_backup

    restored = headwater("restore", backup, "--data", tmp_path / "new", "--json")
    assert restored.returncode == 0, restored.stderr
    epochs = json.loads(restored.stdout)
    assert epochs["findings"] == []
    assert epochs["old_epoch"] != epochs["new_epoch"]
    assert headwater("verify", "--data", tmp_path / "new").returncode == 0

    with running(tmp_path / "new") as new:
        assert new.admin_token != old.admin_token, "a restore makes a new one"
        with pytest.raises(urllib.error.HTTPError) as refused:
            feed(new, cursor)
        problem = json.loads(refused.value.read())
        assert (problem["code"], problem["reason"]) == ("SYNC_CURSOR_INVALID", "restored")
        back, fresh = feed(new)
        renewed = head_of(new.data)
        assert renewed > after_backup + 50, "the restored log continues beyond all that was lost"
        assert first["contact_id"] in {change["id"] for change in back.values()}
        puts = {position: change for position, change in live.items() if change["op"] == "put"}
        # Nothing of what stood at the backup's head is missing or another's ...
        assert all(back[position] == change for position, change in puts.items() if position <= head)
        # ... and whatever is there beyond that was replaced only by changes after the backup.
        newer = {change["id"] for position, change in live.items() if position > head}
        spare = [change["id"] for position, change in back.items() if position not in puts]
        assert set(spare) - {first["contact_id"]} <= newer
        made_after = new.call("POST", CONTACTS, {"first_name": "Next"})
        changes, _ = feed(new, fresh)
        assert [(change["id"], change["position"]) for change in changes.values()] == [
            (made_after["contact_id"], renewed + 1)
        ]
        new.stop()


def test_a_restore_needs_the_folder_for_itself_and_moves_what_is_there_aside(tmp_path: Path) -> None:
    backup = tmp_path / "b.tar.zst"
    with running(tmp_path / "data") as served:
        kept = served.call("POST", CONTACTS, {"first_name": "Kept"})["contact_id"]
        assert headwater("backup", backup, "--data", served.data).returncode == 0
        lost = served.call("POST", CONTACTS, {"first_name": "Lost"})["contact_id"]
        refused = headwater("restore", backup, "--data", served.data, "--force")
        assert (refused.returncode, "already runs" in refused.stderr) == (1, True)
        served.stop()
    refused = headwater("restore", backup, "--data", tmp_path / "data")
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    done = headwater("restore", backup, "--data", tmp_path / "data", "--force", "--json")
    replaced = Path(json.loads(done.stdout)["replaced"])
    assert {path.name for path in replaced.iterdir()} == {"headwater.sqlite", "admin.token", "packs"}
    with running(tmp_path / "data") as served:
        assert [row["contact_id"] for row in served.call("GET", CONTACTS)["data"]] == [kept]
        served.stop()
    with running(replaced) as served:
        assert [row["contact_id"] for row in served.call("GET", CONTACTS)["data"]] == [kept, lost]
        served.stop()

"""After a restore every client notices, on either database, and nothing is given out a second time."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.command import RunningServer, headwater, running
from tests.support.store.databases import UNMADE

CONTACTS = "/api/v1/contacts"
FEED = "/api/v1/feed"


class Installation(NamedTuple):
    """A data folder, and the options that name its database."""

    data: Path
    options: tuple[str, ...]

    def run(self, *arguments: str | Path) -> Any:
        done = headwater(*arguments, "--data", self.data, *self.options, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


class Device:
    """A sell device that stores what it gets: its table is all that it knows."""

    def __init__(self, name: str) -> None:
        self.headers = {"X-Basecrm-Device-UUID": name}
        self.table: dict[int, str] = {}
        self.events: list[tuple[str, int]] = []
        self.keys: list[str] = []

    def pull(self, served: RunningServer, *, ack: bool = True) -> Device:
        """Drains a whole session into the table, acknowledged or not."""
        started = served.call("POST", "/v2/sync/start", headers=self.headers)
        self.events = []
        while started:
            page = served.call("GET", f"/v2/sync/{started['data']['id']}/queues/main", headers=self.headers)
            if not page:
                break
            self.keys = [item["meta"]["sync"]["ack_key"] for item in page["items"]]
            for item in page["items"]:
                if item["meta"]["type"] == "contact":
                    self._store(item["meta"]["sync"]["event_type"], item["data"])
            if ack:
                self.acknowledge(served)
        return self

    def acknowledge(self, served: RunningServer) -> None:
        served.call("POST", "/v2/sync/ack", {"data": {"ack_keys": self.keys}}, headers=self.headers)

    def _store(self, event: str, data: dict[str, Any]) -> None:
        self.events.append((event, data["id"]))
        if event == "deleted":
            self.table.pop(data["id"], None)
        else:
            self.table[data["id"]] = f"{data['custom_fields']['headwater_id']}:{data['phone']}"


def shown(served: RunningServer) -> list[str]:
    return sorted(f"{row['contact_id']}:{row['phone']}" for row in served.call("GET", CONTACTS)["data"])


def make(served: RunningServer, phone: str) -> str:
    made: str = served.call("POST", CONTACTS, {"first_name": "Ada", "phone": phone})["contact_id"]
    return made


def refusal(served: RunningServer, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(urllib.error.HTTPError) as refused:
        served.call(method, path, body, **more)
    return refused.value.code, json.loads(refused.value.read())


def push(served: RunningServer, number: int, **change: Any) -> dict[str, Any]:
    change = {"client_change_id": f"e{number}", "kind": "contact", "op": "put", **change}
    (outcome,) = served.call("POST", f"{FEED}/push", {"device_id": "d", "changes": [change]})["results"]
    found: dict[str, Any] = outcome
    return found


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as stack:
        folder = tmp_path / "place"
        folder.mkdir()
        address = stack.enter_context(UNMADE[request.param](folder))
        yield Installation(folder / "data", ("--database", address) if request.param == "postgres" else ())


def test_what_was_given_out_between_a_backup_and_its_restore_is_never_given_out_again(
    place: Installation, tmp_path: Path
) -> None:
    backup = tmp_path / "b.tar"
    phone, tablet, late = Device("phone"), Device("tablet"), Device("late")
    with running(place.data, *place.options) as old:
        for _ in range(5):
            make(old, "1")
        phone.pull(old)
        tablet.pull(old, ack=False)
        place.run("backup", backup)
        old.call("PUT", f"{CONTACTS}/c-00001", {"phone": "AFTER"})
        old.call("DELETE", f"{CONTACTS}/c-00002")
        lost = make(old, "LOST")
        assert lost == "c-00006"
        phone.pull(old)
        late.pull(old)
        tablet.pull(old, ack=False)
        cursor = old.call("GET", FEED)["cursor"]
        heads = {change["position"] for change in old.call("GET", FEED)["changes"]}
        etag = _etag(old, "c-00001")
        old.stop(signal.SIGKILL)

    done = place.run("restore", backup, "--force")
    assert done["findings"] == []
    assert done["known_gap"] is True

    with running(place.data, *place.options) as new:
        status, problem = refusal(new, "GET", f"{FEED}?cursor={cursor}")
        assert (status, problem["code"], problem["reason"]) == (400, "SYNC_CURSOR_INVALID", "restored")
        assert {c["id"] for c in new.call("GET", f"{FEED}?cursor={problem['cursor']}")["changes"]} == {
            f"c-0000{n}" for n in range(1, 6)
        }
        for device in (phone, tablet, late):
            assert sorted(device.pull(new).table.values()) == shown(new)
            assert ("deleted", 6) in device.events
            assert device.pull(new).events == []
        fresh = make(new, "9")
        assert fresh not in {"c-00006", *(f"c-0000{n}" for n in range(1, 6))}
        for device in (phone, tablet, late, Device("new")):
            assert sorted(device.pull(new).table.values()) == shown(new)
        assert max(phone.table) > 6
        assert phone.events == [("created", max(phone.table))]
        _, problem = refusal(new, "PUT", f"{CONTACTS}/c-00001", {"phone": "2"}, headers={"If-Match": etag})
        assert problem["status"] == 412
        assert new.call("PUT", f"{CONTACTS}/c-00001", {"phone": "SERVER"})["phone"] == "SERVER"
        positions = {change["position"] for change in new.call("GET", FEED)["changes"]}
        assert not (positions - heads) & set(range(min(heads), max(heads) + 1))
        outcome = push(new, 1, id="c-00001", base_revision=6, fields={"phone": "CLIENT"})
        assert outcome["outcome"] == "conflict"
        assert outcome["fields"] == {"phone": {"server": "SERVER", "client": "CLIENT"}}
        assert push(new, 2, id=lost, base_revision=8, fields={"phone": "x"})["code"] == "BASE_UNKNOWN"
        new.stop()


def test_without_the_replaced_state_a_generous_gap_is_left(place: Installation, tmp_path: Path) -> None:
    """The machine is lost, and only the backup is left: the lost numbers are assumed."""
    backup = tmp_path / "b.tar"
    phone, late, slow = Device("phone"), Device("late"), Device("slow")
    with running(place.data, *place.options) as old:
        make(old, "1")
        phone.pull(old)
        place.run("backup", backup)
        lost = [make(old, "LOST") for _ in range(3)]
        phone.pull(old)
        late.pull(old)
        slow.pull(old, ack=False)
        old.stop(signal.SIGKILL)
    fresh = tmp_path / "elsewhere"
    with running(fresh) as other:
        other.stop()  # an empty server was started first: its state tells nothing of the lost one
    done = headwater("restore", backup, "--data", fresh, "--force", "--json")
    assert json.loads(done.stdout)["known_gap"] is False
    with running(fresh) as new:
        assert sorted(phone.pull(new).table.values()) == shown(new)
        assert phone.events[0] == ("created", 1)
        assert {number for event, number in phone.events if event == "deleted"} >= {2, 3, 4}
        # A device that is younger than the backup is not known to the server, and may hold what it acknowledged there.
        slow.acknowledge(new)
        for device in (late, slow):
            assert sorted(device.pull(new).table.values()) == shown(new)
            assert [event for event in device.events if event[1] <= 4] == [
                ("created", 1), ("deleted", 2), ("deleted", 3), ("deleted", 4),
            ]  # fmt: skip
        made = make(new, "9")
        assert made not in lost
        for device in (phone, late, slow, Device("new")):
            assert sorted(device.pull(new).table.values()) == shown(new)
        new.stop()


def test_a_restore_after_a_restore_gives_nothing_out_again(place: Installation, tmp_path: Path) -> None:
    backup = tmp_path / "b.tar"
    device, given = Device("phone"), set[str]()
    with running(place.data, *place.options) as served:
        given.add(make(served, "1"))
        device.pull(served)
        place.run("backup", backup)
        served.stop()
    numbers = set(device.table)
    for life in range(3):
        with running(place.data, *place.options) as served:
            made = make(served, f"life {life}")
            assert made not in given
            given.add(made)
            if life != 1:  # in one life the device does not come at all
                device.pull(served)
                (number,) = {number for number, text in device.table.items() if text.startswith(made)}
                assert number not in numbers
                numbers.add(number)
                assert sorted(device.table.values()) == shown(served)
            served.stop()
        assert place.run("restore", backup, "--force")["known_gap"] is True
    with running(place.data, *place.options) as served:
        assert sorted(device.pull(served).table.values()) == shown(served)
        served.stop()


def _etag(served: RunningServer, id: str) -> str:
    asked = urllib.request.Request(
        f"{served.url}{CONTACTS}/{id}", headers={"Authorization": f"Bearer {served.admin_token}"}
    )
    with urllib.request.urlopen(asked) as answer:
        return str(answer.headers["ETag"])

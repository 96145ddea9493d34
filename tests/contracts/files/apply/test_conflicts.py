"""The five strategies over REST, and conflicts listed and settled. Source: files contract, reading "Strategies"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.file_share import Device, FileShare, created, deleted, placed, updated
from tests.support.server.asgi import Answer
from tests.support.server.serving import ServerUnderTest

COPY = "/a (conflicted copy phone 2026-03-26 112500).txt"


def conflict_of(answer: Answer) -> dict[str, Any]:
    lists = answer.json()
    assert lists["applied"] == lists["errors"] == [], lists
    [conflict] = lists["conflicts"]
    found: dict[str, Any] = conflict
    return found


def versions(share: FileShare, file_id: str) -> set[str]:
    """Every version of a file, as the share door lists them."""
    return {row["id"] for row in share.client.get(f"/api/v1/shares/{share.id}/nodes/{file_id}/versions").json()["data"]}


@pytest.mark.parametrize(("content", "keeper"), [(b"server", "current"), (b"base", "history")])
def test_a_conflict_names_the_version_that_had_the_same_bytes_before(
    share: FileShare, laptop: Device, phone: Device, content: bytes, keeper: str
) -> None:
    file = laptop.put("/a.txt", b"base")
    server_version = laptop.edit(file, b"server")["version_id"]
    laptop.applied(placed(file["resource_id"], "/a.txt", "/b.txt"))
    more = {"version_id": phone.stage(content), "base_version_id": file["version_id"]}
    crossed = placed(file["resource_id"], "/a.txt", "/c.txt", **more)
    conflict = conflict_of(phone.apply(crossed, strategy="SERVER_WINS"))
    assert conflict["conflict_type"] == "crossed_move"
    held_by = {"current": server_version, "history": file["version_id"]}[keeper]
    assert (conflict["kept_as"]["keeper"], conflict["kept_as"]["version_id"]) == (keeper, held_by)
    assert versions(share, file["resource_id"]) == {file["version_id"], server_version}


class TestBothEdited:
    """Laptop put ``server`` on top of ``base``; phone comes with ``mine`` on the same base."""

    @pytest.fixture
    def file(self, laptop: Device) -> dict[str, Any]:
        return laptop.put("/a.txt", b"base")

    @pytest.fixture
    def server_version(self, laptop: Device, file: dict[str, Any]) -> str:
        version_id: str = laptop.edit(file, b"server", modified_at="2026-03-26T11:20:00Z")["version_id"]
        return version_id

    def meet(self, phone: Device, file: dict[str, Any], strategy: str, **more: Any) -> tuple[dict[str, Any], str]:
        mine = phone.stage(b"mine")
        answer = phone.apply(updated(file, mine, **more), strategy=strategy)
        conflict = conflict_of(answer)
        assert answer.status == (409 if strategy == "MANUAL" else 200)
        assert conflict["code"] == "SYNC_CONFLICT"
        assert conflict["conflict_type"] == "content"
        assert conflict["local_version_id"] == mine
        return conflict, mine

    def test_server_wins_keeps_the_current_and_the_clients_bytes_as_a_version(
        self, share: FileShare, phone: Device, file: dict[str, Any], server_version: str
    ) -> None:
        conflict, mine = self.meet(phone, file, "SERVER_WINS")
        assert share.tree() == {"/a.txt": server_version}
        assert versions(share, file["resource_id"]) == {file["version_id"], server_version, mine}
        assert conflict["server_version_id"] == server_version
        assert conflict["resolution"] == "SERVER_WINS"
        assert conflict["kept_as"]["keeper"] == "history"

    def test_client_wins_goes_on_top_and_the_servers_bytes_stay_a_version(
        self, share: FileShare, phone: Device, file: dict[str, Any], server_version: str
    ) -> None:
        conflict, mine = self.meet(phone, file, "CLIENT_WINS")
        assert share.tree() == {"/a.txt": mine}
        assert versions(share, file["resource_id"]) == {file["version_id"], server_version, mine}
        assert conflict["resource_id"] == file["resource_id"]

    @pytest.mark.parametrize(
        ("modified_at", "client_wins"),
        [
            ("2026-03-26T11:21:00Z", True),
            ("2026-03-26T12:21:00+01:00", True),
            ("2026-03-26T11:20:00Z", False),
            ("2026-03-26T11:19:00Z", False),
            ("2099-01-01T00:00:00Z", True),
            (None, False),
        ],
    )
    def test_the_last_writer_wins_by_its_time_and_a_tie_or_none_is_the_servers(
        self,
        share: FileShare,
        laptop: Device,
        phone: Device,
        modified_at: str | None,
        client_wins: bool,
    ) -> None:
        file = laptop.put("/a.txt", b"base", modified_at="2026-03-26T10:00:00Z")
        server_version = laptop.edit(file, b"server", modified_at="2026-03-26T11:20:00Z")["version_id"]
        _, mine = self.meet(phone, file, "LAST_WRITER_WINS", modified_at=modified_at)
        assert share.tree() == {"/a.txt": mine if client_wins else server_version}

    def test_a_time_before_the_base_is_lifted_to_it_and_one_after_the_receipt_lowered(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        file = laptop.put("/a.txt", b"base", modified_at="2026-03-26T10:00:00Z")
        early = laptop.edit(file, b"early", modified_at="1999-01-01T00:00:00Z")
        late = laptop.edit(early, b"late", modified_at="2099-01-01T00:00:00Z")
        rows = share.client.get(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}/versions").json()["data"]
        times = {row["id"]: row["modified_at"] for row in rows}
        assert times[early["version_id"]] == "2026-03-26T10:00:00Z"
        assert times[late["version_id"]] == "2026-03-26T11:25:00Z"

    def test_keep_both_makes_a_copy_that_the_server_names(
        self, share: FileShare, phone: Device, file: dict[str, Any], server_version: str
    ) -> None:
        conflict, mine = self.meet(phone, file, "KEEP_BOTH")
        assert share.tree() == {"/a.txt": server_version, COPY: mine}
        assert conflict["kept_as"] == {
            "keeper": "copy",
            "resource_id": conflict["copy_id"],
            "version_id": mine,
            "path": COPY,
        }
        assert share.drain(0)[0][-1]["resource_id"] == conflict["copy_id"]

    def test_a_second_copy_in_the_same_second_gets_a_number(
        self, share: FileShare, phone: Device, file: dict[str, Any], server_version: str
    ) -> None:
        self.meet(phone, file, "KEEP_BOTH")
        phone.apply(updated(file, phone.stage(b"another")), strategy="KEEP_BOTH")
        assert set(share.tree()) == {"/a.txt", COPY, COPY.replace(").txt", ") 2.txt")}

    def test_manual_changes_nothing_and_holds_the_bytes(
        self, share: FileShare, phone: Device, file: dict[str, Any], server_version: str
    ) -> None:
        head = share.page()["cursor"]
        conflict, mine = self.meet(phone, file, "MANUAL")
        assert share.tree() == {"/a.txt": server_version}
        assert share.page(head)["changes"] == []
        assert conflict["resolution"] is conflict["resolved_at"] is None
        assert conflict["kept_as"]["keeper"] == "held"
        state, expires_us = share.read(lambda tx: tx.row("SELECT state, expires_us FROM versions WHERE id = ?", mine))
        assert (state, expires_us) == ("held", None)

    def test_back_at_the_bases_content_only_the_client_changed(
        self, share: FileShare, laptop: Device, phone: Device, file: dict[str, Any]
    ) -> None:
        other = laptop.edit(file, b"server")
        laptop.edit(other, b"base")
        mine = phone.stage(b"mine")
        phone.applied(updated(file, mine))
        assert share.tree() == {"/a.txt": mine}


class TestNamesAndPlaces:
    def test_a_created_file_whose_name_is_taken_by_a_file_is_kept_beside_it(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        file = laptop.put("/a.txt", b"one")
        mine = phone.stage(b"mine")
        conflict = conflict_of(phone.apply(created("/A.txt", mine), strategy="KEEP_BOTH"))
        assert conflict["conflict_type"] == "name_taken"
        assert conflict["resource_id"] == file["resource_id"]
        assert share.tree() == {"/a.txt": file["version_id"], COPY.replace("/a", "/A"): mine}

    @pytest.mark.parametrize("strategy", ["SERVER_WINS", "CLIENT_WINS"])
    def test_a_created_file_whose_name_is_taken_joins_the_history(
        self, share: FileShare, laptop: Device, phone: Device, strategy: str
    ) -> None:
        file = laptop.put("/a.txt", b"one")
        mine = phone.stage(b"mine")
        conflict_of(phone.apply(created("/a.txt", mine), strategy=strategy))
        assert share.tree() == {"/a.txt": mine if strategy == "CLIENT_WINS" else file["version_id"]}
        assert versions(share, file["resource_id"]) == {file["version_id"], mine}

    def test_a_created_file_that_loses_to_a_folder_is_in_the_trash_and_can_be_restored(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        laptop.folder("/a")
        mine = phone.stage(b"mine")
        head = share.page()["cursor"]
        conflict = conflict_of(phone.apply(created("/a", mine), strategy="SERVER_WINS"))
        assert share.page(head)["changes"] == []
        assert share.tree() == {"/a": None}
        assert conflict["kept_as"]["keeper"] == "trash"
        file_id = conflict["kept_as"]["resource_id"]
        restored = share.client.post(f"/api/v1/shares/{share.id}/nodes/{file_id}/restore", json={"path": "/b"})
        assert restored.status == 200
        assert share.tree() == {"/a": None, "/b": mine}

    def test_a_folder_yields_its_name_to_the_client_and_keeps_its_id(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        folder = laptop.folder("/a")
        inner = laptop.put("/a/in.txt", b"inner")
        mine = phone.stage(b"mine")
        conflict_of(phone.apply(created("/a", mine), strategy="CLIENT_WINS"))
        aside = "/a (conflicted copy phone 2026-03-26 112500)"
        assert share.tree() == {"/a": mine, aside: None, f"{aside}/in.txt": inner["version_id"]}
        assert share.client.get(f"/api/v1/shares/{share.id}/nodes/{folder}").json()["path"] == aside

    def test_moving_a_folder_onto_a_folder_is_a_taken_name(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        laptop.folder("/a")
        other = laptop.folder("/b")
        conflict = conflict_of(phone.apply(placed(other, "/b", "/a", kind="folder"), strategy="SERVER_WINS"))
        assert conflict["conflict_type"] == "name_taken"
        assert set(share.tree()) == {"/a", "/b"}

    @pytest.mark.parametrize(
        ("strategy", "path"), [("SERVER_WINS", "/b.txt"), ("KEEP_BOTH", "/b.txt"), ("CLIENT_WINS", "/c.txt")]
    )
    def test_of_crossed_moves_the_strategy_chooses_the_place(
        self, share: FileShare, laptop: Device, phone: Device, strategy: str, path: str
    ) -> None:
        file = laptop.put("/a.txt", b"one")
        laptop.applied(placed(file["resource_id"], "/a.txt", "/b.txt"))
        conflict = conflict_of(phone.apply(placed(file["resource_id"], "/a.txt", "/c.txt"), strategy=strategy))
        assert conflict["conflict_type"] == "crossed_move"
        assert set(share.tree()) == {path}

    @pytest.mark.parametrize(("modified_at", "path"), [("2026-03-26T11:26:00Z", "/c.txt"), (None, "/b.txt")])
    def test_of_crossed_moves_the_last_writer_is_measured_against_the_time_of_the_placing(
        self, share: FileShare, laptop: Device, phone: Device, modified_at: str | None, path: str
    ) -> None:
        file = laptop.put("/a.txt", b"one")
        laptop.applied(placed(file["resource_id"], "/a.txt", "/b.txt"))
        share.server.clock.advance(120)
        conflict_of(phone.apply(placed(file["resource_id"], "/a.txt", "/c.txt", modified_at=modified_at)))
        assert set(share.tree()) == {path}


class TestEditAgainstDelete:
    @pytest.mark.parametrize("strategy", ["LAST_WRITER_WINS", "KEEP_BOTH", "CLIENT_WINS"])
    def test_the_edit_wins_under_the_same_id(
        self, share: FileShare, laptop: Device, phone: Device, strategy: str
    ) -> None:
        file = laptop.put("/a.txt", b"one")
        laptop.applied(deleted(file))
        mine = phone.stage(b"mine")
        conflict = conflict_of(phone.apply(updated(file, mine), strategy=strategy))
        assert conflict["conflict_type"] == "edit_delete"
        assert share.tree() == {"/a.txt": mine}
        assert versions(share, file["resource_id"]) == {file["version_id"], mine}

    def test_the_server_wins_leaves_it_deleted_and_keeps_the_bytes(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        file = laptop.put("/a.txt", b"one")
        laptop.applied(deleted(file))
        mine = phone.stage(b"mine")
        conflict_of(phone.apply(updated(file, mine), strategy="SERVER_WINS"))
        assert share.tree() == {}
        row = share.read(lambda tx: tx.row("SELECT node, state FROM versions WHERE id = ?", mine))
        assert row == (file["resource_id"], "kept")

    def test_an_edit_below_a_deleted_folder_makes_the_folders_anew_and_nothing_else_returns(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        folder = laptop.folder("/a")
        laptop.folder("/a/b")
        file = laptop.put("/a/b/c.txt", b"one")
        laptop.put("/a/b/other.txt", b"other")
        laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"})
        mine = phone.stage(b"mine")
        conflict_of(phone.apply(updated(file, mine), strategy="CLIENT_WINS"))
        assert share.tree() == {"/a": None, "/a/b": None, "/a/b/c.txt": mine}

    def test_a_rename_of_a_deleted_file_restores_it(self, share: FileShare, laptop: Device, phone: Device) -> None:
        file = laptop.put("/a.txt", b"one")
        laptop.applied(deleted(file))
        conflict_of(phone.apply(placed(file["resource_id"], "/a.txt", "/b.txt"), strategy="CLIENT_WINS"))
        assert share.tree() == {"/b.txt": file["version_id"]}

    def test_a_rename_of_a_deleted_folder_brings_all_below_and_tells_of_it(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        folder = laptop.folder("/a")
        file = laptop.put("/a/in.txt", b"inner")
        item = {"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"}
        laptop.applied(item)
        head = share.page()["cursor"]
        conflict_of(phone.apply(placed(folder, "/a", "/b", kind="folder"), strategy="KEEP_BOTH"))
        told = [(c["change_type"], c["new_path"]) for c in share.page(head)["changes"]]
        assert told == [("created", "/b"), ("created", "/b/in.txt")]
        assert share.tree() == {"/b": None, "/b/in.txt": file["version_id"]}

    def test_a_file_made_in_a_deleted_folder_under_server_wins_returns_with_the_folder(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        folder = laptop.folder("/a")
        laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"})
        mine = phone.stage(b"mine")
        conflict = conflict_of(phone.apply(created("/a/new.txt", mine), strategy="SERVER_WINS"))
        assert (conflict["resource_id"], conflict["conflict_type"]) == (None, "edit_delete")
        assert share.tree() == {}
        nodes = f"/api/v1/shares/{share.id}/nodes"
        assert share.client.post(f"{nodes}/{folder}/restore", json={}).status == 200
        assert share.client.post(f"{nodes}/{conflict['kept_as']['resource_id']}/restore", json={}).status == 200
        assert share.tree() == {"/a": None, "/a/new.txt": mine}


class TestSettling:
    @pytest.fixture
    def file(self, laptop: Device) -> dict[str, Any]:
        return laptop.put("/a.txt", b"base")

    @pytest.fixture
    def open_conflict(self, laptop: Device, phone: Device, file: dict[str, Any]) -> dict[str, Any]:
        laptop.edit(file, b"server")
        return conflict_of(phone.apply(updated(file, phone.stage(b"mine")), strategy="MANUAL"))

    def resolve(self, share: FileShare, conflict: dict[str, Any], resolution: str, **options: Any) -> Answer:
        path = f"/api/v1/sync/conflicts/{conflict['id']}/resolve?resolution={resolution}"
        return share.client.post(path, **options)

    def listed(self, share: FileShare, query: str = "") -> list[dict[str, Any]]:
        answer = share.client.get(f"/api/v1/sync/conflicts?{query}")
        assert answer.status == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def test_a_wrong_resolution_is_answered_with_those_that_there_are(
        self, share: FileShare, open_conflict: dict[str, Any]
    ) -> None:
        refused = self.resolve(share, open_conflict, "NONSENSE")
        assert refused.status == 422
        assert "KEEP_BOTH" in refused.json()["errors"][0]["detail"]
        assert "MANUAL" not in refused.json()["errors"][0]["detail"]

    def test_a_conflict_has_every_key_of_the_contract(
        self, share: FileShare, open_conflict: dict[str, Any], file: dict[str, Any]
    ) -> None:
        [listed] = self.listed(share, f"share_id={share.id}")
        assert {key: open_conflict[key] for key in listed} == listed
        assert listed == {
            "id": open_conflict["id"],
            "share_id": share.id,
            "device_id": "phone",
            "resource_type": "file",
            "resource_id": file["resource_id"],
            "local_version_id": open_conflict["local_version_id"],
            "server_version_id": share.tree()["/a.txt"],
            "resolution": None,
            "created_at": "2026-03-26T11:25:00Z",
            "resolved_at": None,
            "conflict_type": "content",
            "path": "/a.txt",
            "copy_id": None,
            "resolved_by": None,
        }
        assert listed["id"].startswith("cfl_")

    def test_conflicts_are_listed_by_device_and_share_and_the_resolved_when_asked(
        self, server: ServerUnderTest, share: FileShare, phone: Device, open_conflict: dict[str, Any]
    ) -> None:
        file = phone.put("/b.txt", b"one")
        phone.edit(file, b"two")
        phone.apply(updated(file, phone.stage(b"three")), strategy="SERVER_WINS")
        assert len(self.listed(share)) == len(self.listed(share, "device_id=phone")) == 1
        assert len(self.listed(share, "include_resolved=true")) == 2
        assert len(self.listed(share, "include_resolved=true&limit=1")) == 1
        assert self.listed(share, "device_id=laptop&include_resolved=true") == []
        assert self.listed(share, f"share_id={FileShare(server).id}") == []
        own_id = share.client.get("/api/v1/sync/devices").json()[0]["id"]
        assert len(self.listed(share, f"device_id={own_id}")) in {0, 1}
        assert share.client.get("/api/v1/sync/conflicts?include_resolved=perhaps").status == 422
        assert share.client.get("/api/v1/sync/conflicts?share_id=shr_none").status == 404

    def test_status_tells_of_open_conflicts_of_the_device(
        self, share: FileShare, laptop: Device, phone: Device, open_conflict: dict[str, Any]
    ) -> None:
        def has_conflicts(device: Device) -> bool:
            query = f"share_id={share.id}&device_id={device.device_id}"
            found: bool = device.client.get(f"/api/v1/sync/status?{query}").json()["has_conflicts"]
            return found

        assert has_conflicts(phone)
        assert not has_conflicts(laptop)
        self.resolve(share, open_conflict, "SERVER_WINS")
        assert not has_conflicts(phone)

    @pytest.mark.parametrize("resolution", ["SERVER_WINS", "CLIENT_WINS", "LAST_WRITER_WINS", "KEEP_BOTH"])
    def test_an_answer_is_carried_out_and_closes_the_conflict(
        self, share: FileShare, file: dict[str, Any], open_conflict: dict[str, Any], resolution: str
    ) -> None:
        server_version, mine = share.tree()["/a.txt"], open_conflict["local_version_id"]
        share.server.clock.advance(3600)
        answer = self.resolve(share, open_conflict, resolution)
        assert answer.status == 200
        assert answer.json()["resolution"] == resolution
        assert answer.json()["resolved_at"] == "2026-03-26T12:25:00Z"
        assert self.listed(share) == []
        tree = share.tree()
        assert tree["/a.txt"] == (mine if resolution == "CLIENT_WINS" else server_version)
        assert len(tree) == (2 if resolution == "KEEP_BOTH" else 1)
        row = share.read(lambda tx: tx.row("SELECT node, state FROM versions WHERE id = ?", mine))
        kept_in = answer.json()["copy_id"] if resolution == "KEEP_BOTH" else file["resource_id"]
        assert row == (kept_in, "kept")

    def test_manual_is_no_answer(self, share: FileShare, open_conflict: dict[str, Any]) -> None:
        assert self.resolve(share, open_conflict, "MANUAL").status == 400
        assert len(self.listed(share)) == 1

    def test_what_is_no_strategy_is_422(self, share: FileShare, open_conflict: dict[str, Any]) -> None:
        assert self.resolve(share, open_conflict, "COIN_FLIP").status == 422
        assert share.client.post(f"/api/v1/sync/conflicts/{open_conflict['id']}/resolve").status == 422

    def test_the_same_answer_again_changes_nothing_and_another_is_409(
        self, share: FileShare, open_conflict: dict[str, Any]
    ) -> None:
        first = self.resolve(share, open_conflict, "CLIENT_WINS").json()
        head = share.page()["cursor"]
        share.server.clock.advance(60)
        again = self.resolve(share, open_conflict, "CLIENT_WINS")
        assert (again.status, again.json()) == (200, first)
        assert self.resolve(share, open_conflict, "SERVER_WINS").problem() == (409, "STATE_CONFLICT")
        assert share.page(head)["changes"] == []

    def test_an_answer_that_cannot_be_carried_out_leaves_the_conflict_open(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        folder = laptop.folder("/to")
        file = laptop.put("/x.txt", b"one")
        laptop.applied(placed(file["resource_id"], "/x.txt", "/y.txt"))
        item = placed(file["resource_id"], "/x.txt", "/to/x.txt")
        conflict = conflict_of(phone.apply(item, strategy="MANUAL"))
        laptop.applied(placed(folder, "/to", "/elsewhere", kind="folder"))
        answer = self.resolve(share, conflict, "CLIENT_WINS")
        assert answer.problem() == (409, "STATE_CONFLICT")
        assert answer.json()["reason"] == "parent_missing"
        assert len(self.listed(share)) == 1
        assert self.resolve(share, conflict, "SERVER_WINS").status == 200
        assert "/y.txt" in share.tree()

    def test_that_the_servers_side_stays_can_always_be_answered(
        self, share: FileShare, laptop: Device, phone: Device
    ) -> None:
        folder = laptop.folder("/to")
        laptop.put("/to/x", b"theirs")
        laptop.folder("/to/y")
        opened = [
            conflict_of(phone.apply(created("/to/x", phone.stage(b"mine")), strategy="MANUAL")),
            conflict_of(phone.apply(created("/to/y", phone.stage(b"mine too")), strategy="MANUAL")),
            conflict_of(phone.apply(created("/to/x"), strategy="MANUAL")),
        ]
        laptop.applied(placed(folder, "/to", "/elsewhere", kind="folder"))
        before = share.tree()
        for conflict in opened:
            for other in ("LAST_WRITER_WINS", "CLIENT_WINS", "KEEP_BOTH"):
                assert self.resolve(share, conflict, other).json()["reason"] == "parent_missing"
            assert self.resolve(share, conflict, "SERVER_WINS").status == 200
        assert share.tree() == before
        trashed = share.client.get(f"/api/v1/shares/{share.id}/trash").json()["data"]
        assert {node["version_id"] for node in trashed} == {one["local_version_id"] for one in opened[:2]}

    def test_a_resolved_conflicts_changes_are_no_echo_of_the_device_that_had_it(
        self, share: FileShare, open_conflict: dict[str, Any]
    ) -> None:
        share.device("tablet")
        head = share.page()["cursor"]
        self.resolve(share, open_conflict, "CLIENT_WINS", headers={"x-device-id": "tablet"})
        assert [c["metadata"]["device_id"] for c in share.page(head)["changes"]] == ["tablet"]

    def test_bytes_that_the_server_has_by_then_stay_in_the_history(
        self, share: FileShare, laptop: Device, file: dict[str, Any], open_conflict: dict[str, Any]
    ) -> None:
        current = {"resource_id": file["resource_id"], "version_id": share.tree()["/a.txt"]}
        laptop.edit(current, b"mine")
        assert self.resolve(share, open_conflict, "CLIENT_WINS").status == 200
        assert open_conflict["local_version_id"] in versions(share, file["resource_id"])

    def test_unknown_or_unreadable_conflicts_are_404_and_readers_may_not_settle(
        self, server: ServerUnderTest, share: FileShare, open_conflict: dict[str, Any]
    ) -> None:
        assert self.resolve(share, {"id": "cfl_none"}, "SERVER_WINS").problem() == (404, "NOT_FOUND")
        reader = server.caller(role="coordinator")
        path = f"/api/v1/sync/conflicts/{open_conflict['id']}/resolve?resolution=SERVER_WINS"
        assert reader.post(path).status == 404
        member = {"kind": "role", "id": "coordinator", "access": "READ"}
        share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": [member]})
        assert reader.post(path).status == 403
        assert reader.get("/api/v1/sync/conflicts").json() == []

from __future__ import annotations

from typing import Any

import pytest

from headwater.base.errors import Invalid, NotFound, TooLarge
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.downloads import batch, batch_frames, rules
from headwater.contracts.files.downloads.shapes import BatchFields, BatchHead
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from tests.support.content import make_file
from tests.support.file_share import Device, FileShare, deleted
from tests.support.server.wire import unpacked

ADMIN = Principal("tok_1", "usr_1", "default", Role.GLOBAL_ADMIN, frozenset())
STRANGER = ADMIN._replace(role=Role.PEER_MENTOR)


def find(share: FileShare, id: str, version: str | None = None, principal: Principal = ADMIN) -> rules.Found:
    found: rules.Found = share.read(lambda tx: rules.find(tx, principal, id, version))
    return found


@pytest.fixture
def paper(share: FileShare, laptop: Device) -> dict[str, Any]:
    """A file of two versions."""
    first = laptop.put("/paper.txt", b"one")
    return {**laptop.edit(first, b"two!"), "first": first["version_id"]}


class TestVersion:
    def test_without_a_version_it_is_the_current_one(self, share: FileShare, paper: dict[str, Any]) -> None:
        found = find(share, paper["resource_id"])
        assert (found.name, found.version.id, found.version.size_bytes) == ("paper.txt", paper["version_id"], 4)

    def test_a_version_is_named_by_number_or_id(self, share: FileShare, paper: dict[str, Any]) -> None:
        for wanted in ("1", "01", paper["first"]):
            assert find(share, paper["resource_id"], wanted).version.id == paper["first"]
        assert find(share, paper["resource_id"], "2").version.id == paper["version_id"]

    @pytest.mark.parametrize("wanted", ["0", "3", "9" * 18, "9" * 40, "ver_0", "", "-1", "\u0661"])
    @pytest.mark.sqlite_only
    def test_a_version_that_the_file_has_not_is_not_found(
        self, share: FileShare, paper: dict[str, Any], wanted: str
    ) -> None:
        with pytest.raises(NotFound):
            find(share, paper["resource_id"], wanted)

    def test_a_version_of_another_file_is_not_found(
        self, share: FileShare, laptop: Device, paper: dict[str, Any]
    ) -> None:
        other = laptop.put("/other.txt", b"other")
        with pytest.raises(NotFound):
            find(share, paper["resource_id"], other["version_id"])

    def test_a_staged_version_is_no_version_of_the_file(
        self, share: FileShare, laptop: Device, paper: dict[str, Any]
    ) -> None:
        with pytest.raises(NotFound):
            find(share, paper["resource_id"], laptop.stage(b"staged"))


class TestFile:
    def test_a_folder_has_no_content(self, share: FileShare, laptop: Device) -> None:
        folder = laptop.folder("/Box")
        with pytest.raises(Invalid) as failure:
            find(share, folder)
        assert failure.value.fields[0].field == "file_id"

    def test_unknown_trashed_and_unreadable_files_are_told_alike(
        self, share: FileShare, laptop: Device, paper: dict[str, Any]
    ) -> None:
        gone = laptop.put("/gone.txt", b"x")
        laptop.applied(deleted(gone))
        foreign = STRANGER._replace(organisation="other")
        for id, principal in (
            ("fil_0", ADMIN),
            (gone["resource_id"], ADMIN),
            (paper["resource_id"], STRANGER),
            (paper["resource_id"], foreign),
        ):
            with pytest.raises(NotFound) as failure:
                find(share, id, principal=principal)
            assert failure.value.detail == f"no file {id!r}"

    def test_a_file_below_a_folder_in_the_trash_is_not_found(self, share: FileShare, laptop: Device) -> None:
        folder = laptop.folder("/Box")
        inner = laptop.put("/Box/a.txt", b"a")
        share.client.delete(f"/api/v1/shares/{share.id}/nodes/{folder}")
        with pytest.raises(NotFound):
            find(share, inner["resource_id"])

    def test_a_file_of_a_deleted_share_is_not_found(self, share: FileShare, paper: dict[str, Any]) -> None:
        share.client.delete(f"/api/v1/shares/{share.id}")
        with pytest.raises(NotFound):
            find(share, paper["resource_id"])


def test_a_checksum_that_was_worked_out_is_kept_once(share: FileShare, paper: dict[str, Any]) -> None:
    database = share.server.database
    for sha256 in ("ab" * 32, "cd" * 32):
        database.write_now(
            lambda tx, sha256=sha256: rules.store_sha256(tx, share.feed, paper["version_id"], sha256)  # type: ignore[misc]
        )
    assert find(share, paper["resource_id"]).version.sha256 == "ab" * 32
    assert find(share, paper["resource_id"], "1").version.sha256 is None


class TestBatch:
    def find(self, share: FileShare, settings: FileSettings | None = None, **asked: Any) -> batch.Contents:
        fields = BatchFields(share_id=share.id, **asked)
        found: batch.Contents = share.read(lambda tx: batch.find(tx, ADMIN, fields, settings or FileSettings()))
        return found

    def heads(self, share: FileShare, contents: batch.Contents) -> list[tuple[dict[str, Any], bytes]]:
        """The lines and bytes of the stream, in the order of the request."""
        services = share.server.services
        stream = b"".join(batch_frames.frames(services.packs, contents, share.server.database))
        return sorted(unpacked(stream), key=lambda found: int(found[0]["index"]))

    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"file_ids": [], "paths": []},
            {"paths": ["/a"], "chunks": []},
            {"file_ids": [], "paths": [], "chunks": []},
        ],
    )
    @pytest.mark.sqlite_only
    def test_exactly_one_kind_of_thing_is_asked_for(self, share: FileShare, asked: dict[str, Any]) -> None:
        with pytest.raises(Invalid):
            self.find(share, **asked)

    @pytest.mark.parametrize(("count", "good"), [(3, True), (4, False)])
    @pytest.mark.sqlite_only
    def test_one_download_gives_a_limited_number(self, share: FileShare, count: int, good: bool) -> None:
        settings = FileSettings(packed_files=3)
        if good:
            assert len(self.find(share, settings, paths=["/a"] * count).items) == count
        else:
            with pytest.raises(TooLarge, match="3"):
                self.find(share, settings, paths=["/a"] * count)

    @pytest.mark.sqlite_only
    def test_nothing_asked_for_is_an_empty_stream(self, share: FileShare) -> None:
        assert self.heads(share, self.find(share, file_ids=[])) == []

    def test_files_come_by_id_and_by_path_with_their_bytes(self, share: FileShare) -> None:
        made = {
            path: make_file(share.client, share.id, path, content)
            for path, content in (("/a.txt", b"aaa"), ("/B.txt", b""))
        }
        ids = [made["/B.txt"]["resource_id"], made["/a.txt"]["resource_id"]]
        assert [content for _, content in self.heads(share, self.find(share, file_ids=ids))] == [b"", b"aaa"]
        found = self.heads(share, self.find(share, paths=["/A.TXT", "/b.txt", "/A.TXT"]))
        assert [(head["path"], content) for head, content in found] == [
            ("/A.TXT", b"aaa"),
            ("/b.txt", b""),
            ("/A.TXT", b"aaa"),
        ]
        assert found[0][0]["version_number"] == 1

    def test_what_cannot_be_given_has_its_reason_in_its_place(self, share: FileShare) -> None:
        make_file(share.client, share.id, "/a.txt", b"aaa")
        found = self.heads(share, self.find(share, paths=["/none", "/a.txt", "no path", "/"]))
        codes = [head.get("error", {}).get("code") for head, _ in found]
        assert codes[:3] == ["NOT_FOUND", None, "INVALID"]
        assert [content for _, content in found] == [b"", b"aaa", b"", b""]

    def test_a_chunk_is_given_to_who_may_read_a_file_with_it(self, share: FileShare) -> None:
        made = make_file(share.client, share.id, "/a.txt", b"aaa")
        known = share.read(
            lambda tx: tx.value("SELECT chunk FROM version_chunks WHERE version = ?", made["version_id"])
        )
        hashes = [bytes(known).hex(), "0" * 64]
        found = self.heads(share, self.find(share, chunks=hashes))
        assert [(head["chunk"], content) for head, content in found] == [(hashes[0], b"aaa"), (hashes[1], b"")]
        assert found[1][0]["error"]["code"] == "NOT_FOUND"

    def test_a_line_leaves_out_what_is_not_known(self) -> None:
        item = batch.BatchItem(BatchHead(3, 0, chunk="ab"))
        assert item.place[0] > 2**62
        assert batch_frames._line(item, None) == b'{"index":3,"size":0,"chunk":"ab"}\n'

"""An adversary of content: packs are flipped, cut and removed while clients download by all routes.

Every byte that is sent must be right, or the answer must be an error or break off. The checker is checked: without the
comparison of chunks, the same run finds wrong bytes.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from headwater.base.settings.table import FileSettings, Settings
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.identity.principal import ANONYMOUS
from headwater.identity.roles import Role
from headwater.store.packs import damage
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.guard import ChunkGuard
from headwater.transfer import get_folder
from headwater.transfer.get_folder import FolderDownload
from tests.support.content import KIB, content_of, make_file, make_share
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest
from tests.support.server.wire import unpacked

ROUNDS = 60
ADMIN = ANONYMOUS._replace(token_id="tok", role=Role.GLOBAL_ADMIN)


@pytest.fixture
def settings() -> Settings:
    small = FileSettings(chunk_min_bytes=4 * KIB, chunk_avg_bytes=8 * KIB, chunk_max_bytes=32 * KIB)
    return Settings(files=small)


class Adversary:
    """The contents of a share, the damage done to its packs, and the wrong bytes that were seen."""

    def __init__(self, server: ServerUnderTest, seed: int) -> None:
        self.server = server
        self.client: Client = server.client
        self.chance = random.Random(seed)
        self.folder: Path = cast("PackFolder", server.services.packs)._path
        self.share = make_share(self.client)
        self.contents = {f"/{number}.bin": content_of(size, number) for number, size in enumerate(self._sizes())}
        self.files = {path: make_file(self.client, self.share, path, body) for path, body in self.contents.items()}
        self.hashes = self._hashes()
        self.violations: list[str] = []
        self.whole = 0
        self.refused = 0

    def _sizes(self) -> list[int]:
        small = [self.chance.randrange(1, 3000) for _ in range(8)]
        return small + [self.chance.randrange(20, 120) * KIB for _ in range(6)]

    def _hashes(self) -> dict[str, bytes]:
        """The bytes of each chunk, by its hash."""
        found: dict[str, bytes] = {}
        for path, file in self.files.items():
            listed = self.client.get(f"/api/v1/sync/download/{file['resource_id']}/chunks").json()["chunks"]
            at = 0
            for chunk in listed:
                found[chunk["hash"]] = self.contents[path][at : at + chunk["size"]]
                at += chunk["size"]
        return found

    def harm(self) -> None:
        """Flips a bit of a pack, cuts it short, or removes it."""
        packs = sorted(self.folder.glob("*/*"))
        path = self.chance.choice(packs)
        content = bytearray(path.read_bytes())
        kind = self.chance.choice(("flip", "flip", "flip", "cut", "gone"))
        if kind == "flip" and content:
            content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
            path.write_bytes(content)
        elif kind == "cut" and content:
            path.write_bytes(content[: self.chance.randrange(len(content))])
        elif len(packs) > 4:
            path.unlink()

    def read(self) -> Callable[[], None]:
        """Begins a download by a random route; the result ends and judges it."""
        return self.chance.choice((self.plain, self.ranged, self.summed, self.batch, self.chunks))()

    def plain(self) -> Callable[[], None]:
        path = self.chance.choice(list(self.contents))
        return self._begin("plain", path, {}, self.contents[path])

    def ranged(self) -> Callable[[], None]:
        path = self.chance.choice(list(self.contents))
        body = self.contents[path]
        first = self.chance.randrange(len(body))
        last = self.chance.randrange(first, len(body))
        return self._begin("range", path, {"range": f"bytes={first}-{last}"}, body[first : last + 1])

    def summed(self) -> Callable[[], None]:
        path = self.chance.choice(list(self.contents))
        return self._begin("checksum", path, {"want-repr-digest": "sha-256=1"}, self.contents[path])

    def batch(self) -> Callable[[], None]:
        paths = self.chance.sample(list(self.contents), 5)
        return self._begin_batch({"paths": paths}, "path", self.contents)

    def chunks(self) -> Callable[[], None]:
        return self._begin_batch({"chunks": self.chance.sample(list(self.hashes), 6)}, "chunk", self.hashes)

    def _begin(self, route: str, path: str, headers: dict[str, str], right: bytes) -> Callable[[], None]:
        where = f"/api/v1/sync/download/{self.files[path]['resource_id']}"
        coming = self.client.start("GET", where, headers=headers, may_break=True)
        return lambda: self._judge(f"{route} {path}", coming.result(30), right, self.contents[path])

    def _judge(self, what: str, answer: Answer, right: bytes, content: bytes) -> None:
        if answer.status == 500:
            self.refused += 1
            return
        if answer.status not in {200, 206}:
            self.violations.append(f"{what}: {answer.status}")
        elif not right.startswith(answer.body) or (answer.is_whole and answer.body != right):
            self.violations.append(f"{what}: wrong bytes")
        digest = answer.headers.get("repr-digest")
        if digest not in {None, f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"}:
            self.violations.append(f"{what}: a wrong checksum")
        self.whole += answer.is_whole

    def _begin_batch(self, asked: dict[str, Any], key: str, right: dict[str, bytes]) -> Callable[[], None]:
        body = {"share_id": self.share, **asked}
        coming = self.client.start("POST", "/api/v1/downloads/batch", json=body, may_break=True)

        def judge() -> None:
            answer = coming.result(30)
            if not answer.is_whole:
                self.refused += 1
                return
            heads = list(unpacked(answer.body))
            if len(heads) != len(next(iter(asked.values()))):
                self.violations.append("batch: a line is missing")
            for head, found in heads:
                if "error" in head:
                    self.refused += 1
                elif found != right[head[key]]:
                    self.violations.append(f"batch {head[key]}: wrong bytes")

        return judge

    def get_folder(self, target: Path) -> None:
        """Downloads the share by the command line's way, and judges what it wrote."""
        database = self.server.database
        row: ShareRow = database.read_now(lambda tx: access.require(tx, ADMIN, self.share, Access.READ))
        found = database.read_now(lambda tx: get_folder.listing(tx, row, "/"))
        target.mkdir()
        FolderDownload(database, self.server.services.packs, found, target, lambda *_: None).write()
        for path in target.iterdir():
            if path.read_bytes() != self.contents[f"/{path.name}"]:
                self.violations.append(f"get {path.name}: wrong bytes")

    def play(self, rounds: int) -> None:
        """Harms packs while downloads are under way."""
        for _ in range(rounds):
            under_way = [self.read() for _ in range(4)]
            if self.chance.random() < 0.4:
                self.harm()
            for judge in under_way:
                judge()

    def heal(self) -> None:
        """Sends every content again; then all is right."""
        for path, content in self.contents.items():
            self.files[path] = make_file(self.client, self.share, path, content)
        for path, content in self.contents.items():
            answer = self.client.get(f"/api/v1/sync/download/{self.files[path]['resource_id']}?checksum=sha256")
            assert (answer.status, answer.body) == (200, content)
            assert answer.headers["x-checksum-sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.sqlite_only
def test_no_wrong_byte_is_ever_sent_and_the_same_bytes_heal_all(
    server: ServerUnderTest, tmp_path: Path, seed: int
) -> None:
    adversary = Adversary(server, seed)
    adversary.play(ROUNDS)
    adversary.get_folder(tmp_path / "copy")
    assert adversary.violations == []
    # The run met both: content that was whole, and damage.
    assert adversary.whole > 20
    assert adversary.refused > 20
    assert server.database.read_now(damage.count) > 0
    adversary.heal()
    assert server.database.read_now(damage.count) == 0


@pytest.mark.sqlite_only
def test_the_run_finds_wrong_bytes_when_chunks_are_not_compared(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChunkGuard, "compare", lambda *_: None)
    adversary = Adversary(server, 1)
    adversary.play(ROUNDS)
    routes = {violation.partition(" ")[0] for violation in adversary.violations}
    assert routes >= {"plain", "range", "batch"}


@pytest.mark.sqlite_only
def test_the_run_finds_checksums_that_are_taken_from_damage(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChunkGuard, "compare", lambda *_: None)
    adversary = Adversary(server, 3)
    # Before the first checksum is computed, so that it does not depend on which of the two is faster.
    for _ in range(20):
        adversary.harm()
    adversary.play(ROUNDS)
    assert any("a wrong checksum" in violation for violation in adversary.violations)

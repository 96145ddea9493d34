"""``headwater verify`` names what is damaged, marks it, mends checksums, and is content once all is whole."""

from __future__ import annotations

from pathlib import Path

from headwater.installation.connect import PACKS_FOLDER
from headwater.store.packs import damage
from tests.unit.cli.conftest import Command, Installed, Shares


def test_damage_is_named_marked_and_healed_by_putting_the_file_again(
    command: Command, installed: Installed, tmp_path: Path
) -> None:
    shares = Shares(command, installed)
    id = shares.create()["id"]
    (tmp_path / "a.txt").write_bytes(b"a" * 1000)
    assert shares("put", tmp_path / "a.txt", id).code == 0
    (pack,) = (installed.folder / PACKS_FOLDER).glob("*/*")
    content = bytearray(pack.read_bytes())
    content[500] ^= 1
    pack.write_bytes(content)
    found = command("verify", "--data", installed.folder, "--json")
    assert found.code == 1
    assert [(each["rule"], "fails its hash" in each["detail"]) for each in found.json] == [("content", True)]
    assert found.json[0]["detail"].endswith(f"; in {id}:/a.txt version 1")
    with installed.database() as database:
        assert database.read_now(damage.count) == 1
    got = shares("get", id, tmp_path / "copy", "--json")
    assert (got.code, list((tmp_path / "copy").iterdir())) == (1, [])
    assert shares("put", tmp_path / "a.txt", id).code == 0
    with installed.database() as database:
        assert database.read_now(damage.count) == 0
    assert shares("get", id, tmp_path / "copy").code == 0
    assert (tmp_path / "copy" / "a.txt").read_bytes() == b"a" * 1000
    assert command("verify", "--data", installed.folder).code == 0


def test_a_pack_that_was_put_back_and_a_wrong_checksum_are_settled(
    command: Command, installed: Installed, tmp_path: Path
) -> None:
    shares = Shares(command, installed)
    id = shares.create()["id"]
    (tmp_path / "a.txt").write_bytes(b"a" * 1000)
    assert shares("put", tmp_path / "a.txt", id).code == 0
    (pack,) = (installed.folder / PACKS_FOLDER).glob("*/*")
    whole = pack.read_bytes()
    pack.write_bytes(whole[:100])
    assert command("verify", "--data", installed.folder).code == 1
    pack.write_bytes(whole)
    with installed.database() as database:
        database.write_now(lambda tx: tx.run("UPDATE versions SET sha256 = ?", "ab" * 32))
    again = command("verify", "--data", installed.folder)
    assert again.code == 1
    assert "the right one is stored now" in again.out
    assert "1 chunks that were marked as damaged are whole again" in again.err
    assert command("verify", "--data", installed.folder).code == 0

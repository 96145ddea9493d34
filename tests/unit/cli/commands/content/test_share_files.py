"""``headwater share put`` and ``share get``: local folders into a share and out of it, on an installed folder."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from headwater.contracts.files.names import NamePolicy
from headwater.transfer import get_folder, local_files, put_folder
from headwater.transfer.local_files import LocalEntry
from tests.unit.cli.conftest import Done, Shares

STANDARD_LIBRARY = Path(os.__file__).parent
MIB = 1024 * 1024


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two packages of the standard library, with their times."""
    folder = tmp_path / "library"
    for name in ("xml", "email"):
        shutil.copytree(STANDARD_LIBRARY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder with two files and an empty folder."""
    folder = tmp_path / "local"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("bb")
    return folder


def tree(folder: Path) -> dict[str, tuple[bytes, int] | None]:
    """Every path with its content and its time of modification in microseconds; null for a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns // 1000) if path.is_file() else None
        for path in folder.rglob("*")
    }


def counts(done: Done) -> tuple[int, ...]:
    """Created, updated, unchanged, failed."""
    return tuple(done.json[name] for name in ("created", "updated", "unchanged", "failed"))


def reasons(done: Done) -> dict[str, str]:
    """The reason of each failed file, by its name."""
    return {Path(row["file"]).name: row["reason"] for row in done.json["failures"]}


def packs(share: Shares) -> set[str]:
    """The packs that lie in the data folder."""
    return {path.name for path in (share.installed.folder / "packs").rglob("*") if path.is_file()}


def test_the_standard_library_goes_in_and_comes_out_equal(share: Shares, library: Path, tmp_path: Path) -> None:
    made = share.create()["id"]
    files = sum(path.is_file() for path in library.rglob("*"))
    done = share("put", library, made, "--json")
    assert (done.code, counts(done)) == (0, (files, 0, 0, 0))
    assert files > 30
    stored = packs(share)
    assert counts(share("put", library, made, "--json")) == (0, 0, files, 0)
    assert packs(share) == stored
    got = share("get", made, tmp_path / "out", "--json")
    assert (got.code, got.json["files"], got.json["failed"]) == (0, files, 0)
    assert tree(tmp_path / "out") == tree(library)
    assert share("show", made, "--json").json["files"] == files


def test_what_was_edited_becomes_a_version_and_nothing_is_deleted(share: Shares, local: Path, tmp_path: Path) -> None:
    made = share.create()["id"]
    share("put", local, made)
    (local / "a.txt").write_text("A")
    (local / "c.txt").write_text("")
    (local / "sub" / "b.txt").unlink()
    foretold = share("put", local, made, "--dry-run", "--json")
    assert counts(foretold) == (1, 1, 0, 0)
    assert {row["path"]: row["effect"] for row in foretold.json["examples"]} == {
        "/a.txt": "updated", "/c.txt": "created",
    }  # fmt: skip
    assert counts(share("put", local, made, "--json")) == (1, 1, 0, 0)
    share("get", made, tmp_path / "out")
    assert {path: found and found[0] for path, found in tree(tmp_path / "out").items()} == {
        "a.txt": b"A", "c.txt": b"", "sub": None, "sub/b.txt": b"bb", "sub/empty": None,
    }  # fmt: skip


def test_a_dry_run_sends_nothing(share: Shares, local: Path) -> None:
    made = share.create()["id"]
    done = share("put", local, made, "--dry-run")
    assert (done.code, "/sub/b.txt" in done.out) == (0, True)
    assert (packs(share), share("show", made, "--json").json["files"]) == (set(), 0)


def test_a_folder_of_the_share_takes_a_folder_or_one_file_and_gives_either(
    share: Shares, local: Path, tmp_path: Path
) -> None:
    made = share.create()["id"]
    share("put", local, made, "--to", "/x/y")
    share("put", local / "a.txt", made, "--to", "/x")
    share("get", made, tmp_path / "y", "--from", "/x/y")
    assert tree(tmp_path / "y") == tree(local)
    share("get", made, tmp_path / "one", "--from", "/x/a.txt")
    assert list(tree(tmp_path / "one")) == ["a.txt"]


@pytest.mark.parametrize(("name", "made"), [("a.txt", 3), ("", 5)])
def test_the_folders_on_the_way_are_counted_too(share: Shares, local: Path, name: str, made: int) -> None:
    id = share.create()["id"]
    into = ("put", local / name, id, "--to", "/deep/new/folder", "--json")
    assert share(*into, "--dry-run").json["folders_made"] == made
    assert [share(*into).json["folders_made"] for _ in range(2)] == [made, 0]


def test_a_file_above_the_wanted_folder_is_told_at_once(share: Shares, local: Path) -> None:
    id = share.create()["id"]
    share("put", local / "a.txt", id)
    done = share("put", local, id, "--to", "/a.txt/below")
    assert (done.code, "/a.txt is a file in the share" in done.err) == (1, True)


@pytest.mark.parametrize("at_us", [-1_500_000_123, 0, 1_700_000_000_123_456])
def test_a_time_of_modification_comes_back_to_the_microsecond(
    share: Shares, local: Path, tmp_path: Path, at_us: int
) -> None:
    made = share.create()["id"]
    os.utime(local / "a.txt", ns=(0, at_us * 1000))
    share("put", local / "a.txt", made)
    share("get", made, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").stat().st_mtime_ns == at_us * 1000


def test_links_and_special_files_are_left_out_and_counted(share: Shares, local: Path, tmp_path: Path) -> None:
    (local / "link.txt").symlink_to(local / "a.txt")
    (local / "out").symlink_to(tmp_path)
    os.mkfifo(local / "pipe")
    done = share("put", local, share.create()["id"], "--json")
    assert (done.code, done.json["left_out"], counts(done)) == (0, 3, (2, 0, 0, 0))


def test_names_that_the_share_refuses_are_told_with_the_reason_and_the_rest_comes(share: Shares, local: Path) -> None:
    for name in ("con.txt", "what?.txt", "A.TXT"):
        (local / name).write_text("x")
    (local / os.fsdecode(b"\xff.txt")).write_text("x")
    (local / "aux").mkdir()
    done = share("put", local, share.create()["id"], "--json")
    told = reasons(done)
    assert (done.code, counts(done)) == (1, (2, 0, 0, 5))
    assert {"con.txt", "what?.txt", "a.txt", "aux"} < set(told)
    assert "'A.TXT'" in told["a.txt"]
    assert "reserves" in told["con.txt"]
    assert share("put", local, share.create("--case-sensitive", "--any-names")["id"]).code == 1
    (local / os.fsdecode(b"\xff.txt")).unlink()
    assert counts(share("put", local, share.create("--case-sensitive", "--any-names")["id"], "--json")) == (5, 0, 0, 0)


def test_a_file_that_cannot_be_read_fails_alone(share: Shares, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = os.open

    def refuse(path: Any, *more: Any, **named: Any) -> int:
        if str(path).endswith("b.txt"):
            raise PermissionError(13, "Permission denied")
        return really_open(path, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    done = share("put", local, share.create()["id"], "--json")
    assert (done.code, counts(done), reasons(done)) == (1, (1, 0, 0, 1), {"b.txt": "Permission denied"})


@pytest.mark.parametrize("batch_bytes", [put_folder.BATCH_BYTES, 1000])
def test_a_file_that_grows_or_shrinks_while_it_is_read_fails_alone(
    share: Shares, local: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    monkeypatch.setattr(put_folder, "BATCH_BYTES", batch_bytes)
    for name in ("grows.txt", "shrinks.txt"):
        (local / name).write_bytes(b"x" * 5000)
    found = list(local_files.walk(local, "", NamePolicy()))
    with (local / "grows.txt").open("ab") as stream:
        stream.write(b"more")
    os.truncate(local / "shrinks.txt", 10)
    monkeypatch.setattr(local_files, "walk", lambda *_: iter(found))
    done = share("put", local, share.create()["id"], "--json")
    assert (done.code, counts(done)) == (1, (2, 0, 0, 2))
    assert set(reasons(done).values()) == {"it changed while it was read"}


def test_a_large_file_is_sent_alone_and_piece_by_piece(
    share: Shares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_folder, "BATCH_BYTES", MIB)
    monkeypatch.setattr(put_folder, "PIECE_BYTES", 100_000)
    folder, made = tmp_path / "large", share.create()["id"]
    folder.mkdir()
    content = bytearray(os.urandom(5 * MIB))
    (folder / "large.bin").write_bytes(content)
    (folder / "small.txt").write_text("small")
    assert counts(share("put", folder, made, "--json")) == (2, 0, 0, 0)
    stored = packs(share)
    assert counts(share("put", folder, made, "--json")) == (0, 0, 2, 0)
    assert packs(share) == stored
    content[MIB] ^= 1
    (folder / "large.bin").write_bytes(content)
    assert counts(share("put", folder, made, "--dry-run", "--json")) == (0, 1, 1, 0)
    assert counts(share("put", folder, made, "--json")) == (0, 1, 1, 0)
    share("get", made, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(folder)


@pytest.mark.parametrize("batch_bytes", [put_folder.BATCH_BYTES, 1000])
def test_what_has_no_room_fails_with_the_quota_and_nothing_large_is_written_first(
    share: Shares, local: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    monkeypatch.setattr(put_folder, "BATCH_BYTES", batch_bytes)
    (local / "large.bin").write_bytes(b"x" * 5000)
    done = share("put", local, share.create("--quota", "4000")["id"], "--json")
    assert (done.code, counts(done)) == (1, (2, 0, 0, 1))
    assert "the share has" in reasons(done)["large.bin"]
    written_bytes = sum(path.stat().st_size for path in (share.installed.folder / "packs").rglob("*") if path.is_file())
    assert written_bytes < 5000 or batch_bytes == put_folder.BATCH_BYTES


def test_a_folder_and_a_file_of_one_name_do_not_replace_each_other(share: Shares, tmp_path: Path) -> None:
    first, second, made = tmp_path / "first", tmp_path / "second", share.create()["id"]
    (first / "x").mkdir(parents=True)
    (first / "y").write_text("y")
    (second / "y" / "deep").mkdir(parents=True)
    (second / "x").write_text("x")
    (second / "y" / "deep" / "z").write_text("z")
    share("put", first, made)
    for options in (["--dry-run"], []):
        done = share("put", second, made, *options, "--json")
        assert (done.code, counts(done)) == (1, (0, 0, 0, 4))
    into = share("put", second, made, "--to", "/y")
    assert (into.code, "is a file in the share" in into.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("put", "LOCAL", "shr_none"), "no share"),
        (("put", "LOCAL/nothing", "SHARE"), "No such file"),
        (("get", "shr_none", "LOCAL/new"), "no share"),
        (("get", "SHARE", "LOCAL/new", "--from", "/none"), "nothing at '/none'"),
        (("get", "SHARE", "LOCAL"), "not empty"),
        (("get", "SHARE", "LOCAL/a.txt"), "not a folder"),
    ],
)
def test_what_cannot_begin_says_why(share: Shares, local: Path, arguments: tuple[str, ...], says: str) -> None:
    made, before = share.create()["id"], tree(local)
    done = share(*(word.replace("LOCAL", str(local)).replace("SHARE", made) for word in arguments))
    assert (done.code, done.out, says in done.err) == (1, "", True)
    assert tree(local) == before


@pytest.mark.parametrize("arguments", [("put", "LOCAL", "SHARE", "--to", "x"), ("get", "SHARE", "NEW", "--from", "x")])
def test_a_path_of_a_share_that_is_none_is_wrong_usage(
    share: Shares, local: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    places = {"LOCAL": local, "NEW": tmp_path / "new", "SHARE": share.create()["id"]}
    done = share(*(places.get(word, word) for word in arguments), "--json")
    assert (done.code, done.problem["code"], "begins with '/'" in done.problem["detail"]) == (2, "USAGE", True)


def test_a_damaged_file_is_told_and_the_others_are_written(share: Shares, local: Path, tmp_path: Path) -> None:
    made = share.create()["id"]
    (local / "large.bin").write_bytes(os.urandom(5 * MIB))
    (local / "marked.txt").write_bytes(b"the marked content")
    share("put", local, made)
    for pack in (share.installed.folder / "packs").rglob("*"):
        if pack.is_file():
            content = pack.read_bytes()
            pack.write_bytes(content.replace(b"the marked content", b"the marred content"))
    done = share("get", made, tmp_path / "out", "--json")
    assert (done.code, done.json["files"], list(reasons(done))) == (1, 3, ["marked.txt"])
    assert set(tree(tmp_path / "out")) == set(tree(local)) - {"marked.txt"}


def test_what_this_system_cannot_name_fails_alone(
    share: Shares, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = share.create("--any-names")["id"]
    (local / "con").mkdir()
    (local / "con" / "c.txt").write_text("c")
    share("put", local, made)
    monkeypatch.setattr(get_folder, "LOCAL_NAMES", NamePolicy(portable=True))
    done = share("get", made, tmp_path / "out", "--json")
    assert (done.code, done.json["files"], set(reasons(done))) == (1, 2, {"con", "c.txt"})
    assert set(tree(tmp_path / "out")) == {"a.txt", "sub", "sub/b.txt", "sub/empty"}


def test_files_get_no_name_when_the_disk_fails_to_keep_them(
    share: Shares, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        """A C library whose disk is broken."""

        @staticmethod
        def syncfs(_: int) -> int:
            return -1

    made = share.create()["id"]
    share("put", local, made)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Failing)
    monkeypatch.setattr(ctypes, "get_errno", lambda: 5)
    done = share("get", made, tmp_path / "out")
    assert (done.code, "Input/output error" in done.err) == (1, True)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_system_without_syncfs_syncs_file_by_file(
    share: Shares, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = share.create()["id"]
    share("put", local, made)
    synced: list[Path] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    monkeypatch.setattr(get_folder, "_sync_one", synced.append)
    assert share("get", made, tmp_path / "out").code == 0
    assert tree(tmp_path / "out") == tree(local)
    assert {"a.txt", "b.txt", "out", "sub"} < {path.name for path in synced}


def test_a_batch_ends_at_its_bytes_or_its_files_and_a_larger_file_comes_alone() -> None:
    def sizes(*wanted: int) -> list[list[int]]:
        entries = [LocalEntry(f"/{number}", "", is_folder=False, size_bytes=size) for number, size in enumerate(wanted)]
        return [[entry.size_bytes for entry in batch] for batch in put_folder.batches(entries)]

    most = put_folder.BATCH_BYTES
    assert sizes() == []
    assert sizes(1, most - 1, 0, 1, most + 1, 0) == [[1, most - 1, 0], [1], [most + 1], [0]]
    assert list(map(len, sizes(*[0] * (put_folder.BATCH_ENTRIES + 1)))) == [put_folder.BATCH_ENTRIES, 1]


def test_the_tables_of_a_put_and_a_get_tell_the_same(share: Shares, local: Path, tmp_path: Path) -> None:
    made = share.create()["id"]
    (local / "con.txt").write_text("x")
    done = share("put", local, made)
    assert (done.code, "reserves" in done.out, "What failed" in done.err) == (1, True, True)
    assert "created       2" in done.out
    assert "files          2" in share("get", made, tmp_path / "out").out
    assert json.loads(share("get", made, tmp_path / "other", "--json").out)["failures"] == []

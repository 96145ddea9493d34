from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.base.errors import Damaged, Fatal, HeadwaterError, QuotaExceeded, Unavailable
from headwater.store.packs import folder as pack_folder
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from headwater.store.packs.writer import PackWriter


class Failing:
    """A system call that fails with ``number`` from its ``after``-th use on, and counts its uses."""

    def __init__(self, number: int, after: int = 0) -> None:
        self.number = number
        self.left = after
        self.uses = 0

    def __call__(self, *arguments: object) -> int:
        self.uses += 1
        if self.left > 0:
            self.left -= 1
            return len(arguments[1]) if len(arguments) > 1 else 0  # type: ignore[arg-type]
        raise OSError(self.number, os.strerror(self.number))


@pytest.fixture
def folder(tmp_path: Path) -> PackFolder:
    return PackFolder(tmp_path / "packs")


def write_mebibytes(folder: PackFolder, count: int) -> None:
    with PackWriter(folder, "org_a") as writer:
        for number in range(count):
            writer.append(number.to_bytes(4, "big") * (256 * 1024))
        writer.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such_and_the_partial_pack_is_removed(
    folder: PackFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(pack_folder, "_write", Failing(number, after=3))
    with pytest.raises(QuotaExceeded) as failure:
        write_mebibytes(folder, 10)
    assert failure.value.error_code == "DISK_FULL"
    assert list(folder.listing()) == []
    monkeypatch.undo()
    write_mebibytes(folder, 2)
    assert len(list(folder.listing())) == 1


@pytest.fixture
def file_limit() -> Iterator[int]:
    """The kernel refuses files over 3 MiB: a real failure in the middle of a real write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = 3 * 1024 * 1024 + 1000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("file_limit")
def test_a_write_that_the_kernel_cuts_short_is_told_as_a_full_disk(folder: PackFolder) -> None:
    with pytest.raises(QuotaExceeded):
        write_mebibytes(folder, 10)
    assert list(folder.listing()) == []
    write_mebibytes(folder, 2)


@pytest.mark.parametrize("sync", ["_sync_file", "_sync_folder"])
def test_a_failed_fsync_ends_all_writing_and_is_never_tried_again(
    folder: PackFolder, monkeypatch: pytest.MonkeyPatch, sync: str
) -> None:
    write_mebibytes(folder, 1)
    before = list(folder.listing())
    failing = Failing(errno.EIO)
    monkeypatch.setattr(pack_folder, sync, failing)
    with pytest.raises(Fatal):
        write_mebibytes(folder, 1)
    assert failing.uses == 1
    monkeypatch.undo()
    with pytest.raises(Fatal):
        write_mebibytes(folder, 1)
    assert list(folder.listing()) == before
    folder.open(before[0].pack).close()


def test_a_pack_that_was_open_when_another_fsync_failed_is_not_finished(
    folder: PackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PackWriter(folder, "org_a") as writer:
        writer.append(b"begun before")
        monkeypatch.setattr(pack_folder, "_sync_file", Failing(errno.EIO))
        with pytest.raises(Fatal):
            write_mebibytes(folder, 1)
        monkeypatch.undo()
        with pytest.raises(Fatal):
            writer.close()
    assert list(folder.listing()) == []


def test_a_disk_that_is_full_at_the_sync_loses_that_pack_only(
    folder: PackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_folder, "_sync_file", Failing(errno.ENOSPC))
    with pytest.raises(QuotaExceeded):
        write_mebibytes(folder, 1)
    monkeypatch.undo()
    write_mebibytes(folder, 1)


def test_the_file_is_synced_before_its_folder_and_both_before_close_returns(
    folder: PackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []

    def synced(name: str) -> None:
        monkeypatch.setattr(pack_folder, name, lambda _descriptor: order.append(name))

    synced("_sync_file")
    synced("_sync_folder")
    with PackWriter(folder, "org_a") as writer:
        writer.append(b"content")
        assert order == []
        writer.close()
        assert order == ["_sync_file", "_sync_folder"]


def test_a_long_pack_is_handed_to_the_disk_while_it_grows(folder: PackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[int, int]] = []
    monkeypatch.setattr(
        pack_folder, "_start_writeback", lambda _descriptor, start, length, _flags: started.append((start, length))
    )
    write_mebibytes(folder, 10)
    assert [length >= pack_folder.WRITEBACK_BYTES for _, length in started] == [True, True]
    assert started[0][0] == 0
    assert started[1][0] == started[0][1]


def test_a_number_that_is_taken_is_passed_over(folder: PackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mebibytes(folder, 1)
    (stored,) = folder.listing()
    numbers = iter([stored.pack, stored.pack, 99])
    monkeypatch.setattr(pack_folder, "new_pack", lambda: next(numbers))
    write_mebibytes(folder, 1)
    assert {found.pack for found in folder.listing()} == {stored.pack, 99}


def test_a_disk_that_cannot_read_is_damage(folder: PackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mebibytes(folder, 1)
    (stored,) = folder.listing()
    source = folder.open(stored.pack)
    monkeypatch.setattr(os, "pread", Failing(errno.EIO))
    with pytest.raises(Damaged, match="cannot be read"):
        source.read(0, 10)
    source.close()


def test_a_pack_that_cannot_be_removed_is_told(folder: PackFolder, tmp_path: Path) -> None:
    (tmp_path / "packs" / pack_name(99)).mkdir()
    with pytest.raises(Fatal):
        folder.delete(99)


def test_too_many_open_files_is_a_passing_trouble(folder: PackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mebibytes(folder, 1)
    (stored,) = folder.listing()
    monkeypatch.setattr(os, "open", Failing(errno.EMFILE))
    for doing in (folder.create, lambda: folder.open(stored.pack)):
        with pytest.raises(Unavailable):
            doing()
    monkeypatch.undo()
    write_mebibytes(folder, 1)


def test_a_pack_that_was_swept_away_while_it_was_written_is_not_reported_as_kept(
    folder: PackFolder, tmp_path: Path
) -> None:
    with PackWriter(folder, "org_a") as writer:
        ref = writer.append(b"content")
        folder.delete(ref.pack)
        with pytest.raises(Unavailable):
            writer.close()


def test_a_pack_file_that_cannot_be_opened_is_damage(folder: PackFolder, tmp_path: Path) -> None:
    write_mebibytes(folder, 1)
    (stored,) = folder.listing()
    path = next(path for path in (tmp_path / "packs").rglob("*") if path.is_file())
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Damaged, match="cannot be opened"):
        folder.open(stored.pack)


def test_files_that_are_no_packs_are_neither_listed_nor_touched(folder: PackFolder, tmp_path: Path) -> None:
    write_mebibytes(folder, 1)
    stray = tmp_path / "packs" / "00" / "notes.txt"
    stray.write_text("mine")
    assert len(list(folder.listing())) == 1
    assert stray.read_text() == "mine"


def test_deleting_twice_is_no_error(folder: PackFolder) -> None:
    write_mebibytes(folder, 1)
    (stored,) = folder.listing()
    folder.delete(stored.pack)
    folder.delete(stored.pack)
    assert list(folder.listing()) == []


def test_an_existing_folder_is_opened_again(folder: PackFolder, tmp_path: Path) -> None:
    write_mebibytes(folder, 1)
    assert list(PackFolder(tmp_path / "packs").listing()) == list(folder.listing())


def test_every_failure_is_one_of_ours(folder: PackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_folder, "_write", Failing(errno.EIO))
    with pytest.raises(HeadwaterError) as failure:
        write_mebibytes(folder, 1)
    assert isinstance(failure.value, Fatal)

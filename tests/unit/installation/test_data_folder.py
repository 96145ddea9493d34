"""The data folder: closed to other users, and locked by one server at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headwater.installation.data_folder import LOCK_FILE, AlreadyServed, FolderUnusable, locked, prepare


@pytest.fixture(autouse=True)
def usual_umask() -> object:
    mask = os.umask(0o022)
    yield
    os.umask(mask)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_folder_is_closed_to_others_and_made_with_those_above_it(tmp_path: Path) -> None:
    assert prepare(tmp_path / "a/b/data") == tmp_path / "a/b/data"
    assert mode(tmp_path / "a/b/data") == 0o700


def test_an_empty_folder_is_closed_and_one_with_files_keeps_its_rights(tmp_path: Path) -> None:
    for name, inside in (("empty", False), ("full", True)):
        (tmp_path / name).mkdir(mode=0o755)
        if inside:
            (tmp_path / name / "note").touch()
        prepare(tmp_path / name)
    assert (mode(tmp_path / "empty"), mode(tmp_path / "full")) == (0o700, 0o755)


def test_a_file_in_the_place_of_the_folder_or_above_it_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file/data", "Not a directory")):
        with pytest.raises(FolderUnusable, match=f"{path} cannot be used: {reason}"):
            prepare(path)


def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(_path: Path, wanted: int) -> bool:
        asked.append(wanted)
        return False

    monkeypatch.setattr(os, "access", refuse)
    with pytest.raises(FolderUnusable, match="cannot be written to by this user"):
        prepare(tmp_path / "data")
    assert asked == [os.W_OK | os.X_OK]


def test_the_lock_names_the_process_and_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
        assert mode(tmp_path / LOCK_FILE) == 0o600


def test_a_locked_folder_is_refused_and_the_lock_stays_with_its_owner(tmp_path: Path) -> None:
    with locked(tmp_path):
        for _ in range(2):
            with pytest.raises(AlreadyServed, match=rf"process {os.getpid()}\) already runs on {tmp_path}"):
                locked(tmp_path).__enter__()
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def test_a_lock_that_names_no_process_is_refused_all_the_same(tmp_path: Path) -> None:
    with locked(tmp_path):
        os.truncate(tmp_path / LOCK_FILE, 0)
        with pytest.raises(AlreadyServed, match="process unknown"):
            locked(tmp_path).__enter__()
        (tmp_path / LOCK_FILE).write_bytes(b"\xff" * 100)
        with pytest.raises(AlreadyServed):
            locked(tmp_path).__enter__()


def test_a_lock_ends_with_its_block_also_after_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with locked(tmp_path):
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    with locked(tmp_path):
        pass


def test_the_number_of_an_earlier_process_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("99999999999999999999\n")
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"

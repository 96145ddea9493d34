"""The walk over a local folder: what would be uploaded, what is left out, and what is refused, with the reason."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import Invalid
from headwater.contracts.files.names import MAX_PATH_BYTES, NamePolicy
from headwater.transfer import local_files
from headwater.transfer.local_files import (
    FoundEntry,
    LocalEntry,
    LocalFile,
    RefusedEntry,
    SkippedEntry,
    Unreadable,
    walk,
)

STRICT = NamePolicy()
LOOSE = NamePolicy(case_sensitive=True, portable=False)


def entries(found: list[FoundEntry]) -> list[str]:
    """The stored paths, in order; a folder ends in a slash."""
    return [each.path + "/" * each.is_folder for each in found if isinstance(each, LocalEntry)]


def refused(found: list[FoundEntry]) -> dict[str, str]:
    """The reason of each refusal, by the local name."""
    return {Path(each.source).name: each.reason for each in found if isinstance(each, RefusedEntry)}


def left_out(found: list[FoundEntry]) -> list[str]:
    return [Path(each.source).name for each in found if isinstance(each, SkippedEntry)]


def entry_of(path: Path) -> LocalEntry:
    """The entry of one file."""
    (found,) = walk(path, "", STRICT)
    assert isinstance(found, LocalEntry)
    return found


def test_a_folder_precedes_its_contents_and_names_are_in_order(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("b/z", "b/deep/x", "a", "c", "B2"):
        (tmp_path / name).touch()
    assert entries(list(walk(tmp_path, "", STRICT))) == ["/B2", "/a", "/b/", "/c", "/b/deep/", "/b/z", "/b/deep/x"]


@pytest.mark.parametrize(("to", "above"), [("", []), ("/x", ["/x/"]), ("/x/y/z", ["/x/", "/x/y/", "/x/y/z/"])])
def test_the_target_folder_and_those_above_it_come_first(tmp_path: Path, to: str, above: list[str]) -> None:
    (tmp_path / "a").touch()
    assert entries(list(walk(tmp_path, to, STRICT))) == [*above, f"{to}/a"]
    assert entries(list(walk(tmp_path / "a", to, STRICT))) == [*above, f"{to}/a"]


def test_an_empty_folder_has_no_entry_of_its_own_at_the_root(tmp_path: Path) -> None:
    assert list(walk(tmp_path, "", STRICT)) == []


def test_a_file_has_its_size_and_its_time_in_microseconds(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 12_345)
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    (found,) = walk(path, "", STRICT)
    assert found == LocalEntry("/a", str(path), is_folder=False, size_bytes=12_345, modified_us=1_700_000_000_123_456)


def test_a_root_that_does_not_exist_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(walk(tmp_path / "none", "/x", STRICT))


def test_links_pipes_sockets_and_loops_are_left_out_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    (tmp_path / "a").write_text("a")
    (tmp_path / "to-file").symlink_to(tmp_path / "a")
    (tmp_path / "to-nothing").symlink_to(tmp_path / "none")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        found = list(walk(tmp_path, "", STRICT))
    assert entries(found) == ["/a"]
    assert left_out(found) == ["loop", "pipe", "sock", "to-file", "to-nothing"]
    assert refused(found) == {}


def test_a_pipe_as_the_root_is_left_out_and_makes_no_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert list(walk(tmp_path / "pipe", "/x/y", STRICT)) == [SkippedEntry(str(tmp_path / "pipe"))]


def test_a_root_whose_name_is_refused_makes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "con").touch()
    found = list(walk(tmp_path / "con", "/x", STRICT))
    assert (entries(found), list(refused(found))) == ([], ["con"])
    assert entries(list(walk(tmp_path / "con", "/x", LOOSE))) == ["/x/", "/x/con"]


@pytest.mark.parametrize("name", ["con", "aux.txt", "a:b", "a?", "end.", "space ", "a|b", "tab\t", "COM1.log"])
def test_a_name_that_windows_cannot_hold_is_refused_where_names_are_portable(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "good").touch()
    found = list(walk(tmp_path, "", STRICT))
    assert (entries(found), list(refused(found))) == (["/good"], [name])


@pytest.mark.parametrize("policy", [STRICT, LOOSE])
def test_a_name_that_is_no_text_is_refused_by_every_share(tmp_path: Path, policy: NamePolicy) -> None:
    (tmp_path / os.fsdecode(b"\xff")).touch()
    found = list(walk(tmp_path, "", policy))
    assert (entries(found), len(refused(found))) == ([], 1)


def test_the_contents_of_a_refused_folder_are_not_visited(tmp_path: Path) -> None:
    (tmp_path / "con" / "deep").mkdir(parents=True)
    (tmp_path / "con" / "a").touch()
    found = list(walk(tmp_path, "", STRICT))
    assert (entries(found), list(refused(found))) == ([], ["con"])


def test_of_two_names_that_are_one_in_the_share_the_second_is_refused_and_names_the_first(tmp_path: Path) -> None:
    for name in ("A.txt", "a.txt", "A.TXT", "b.txt"):
        (tmp_path / name).touch()
    found = list(walk(tmp_path, "", STRICT))
    assert entries(found) == ["/A.TXT", "/b.txt"]
    assert {name: "'A.TXT'" in reason for name, reason in refused(found).items()} == {"A.txt": True, "a.txt": True}
    assert entries(list(walk(tmp_path, "", LOOSE))) == ["/A.TXT", "/A.txt", "/a.txt", "/b.txt"]


def test_two_spellings_of_one_letter_are_one_name(tmp_path: Path) -> None:
    (tmp_path / "\u00e5").touch()  # composed
    (tmp_path / "a\u030a").touch()  # decomposed
    for policy in (STRICT, LOOSE):
        found = list(walk(tmp_path, "", policy))
        assert (len(entries(found)), len(refused(found))) == (1, 1)


def test_equal_names_in_different_folders_are_both_found(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same").touch()
    assert entries(list(walk(tmp_path, "", STRICT))) == ["/x/", "/y/", "/x/same", "/y/same"]


def test_a_path_may_have_as_many_bytes_as_a_caller_may_send_and_not_one_more(tmp_path: Path) -> None:
    to = "/" + "/".join(["d" * 255] * 15) + "/" + "e" * 200  # 4,041 bytes
    room = MAX_PATH_BYTES - len(to) - 1
    for name in ("n" * room, "n" * (room + 1)):
        (tmp_path / name).touch()
    found = list(walk(tmp_path, to, STRICT))
    assert max(len(path) for path in entries(found)) == MAX_PATH_BYTES
    assert list(refused(found)) == ["n" * (room + 1)]


def test_a_folder_that_cannot_be_listed_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").touch()
    really_scan = os.scandir

    def scan(folder: Any) -> Any:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return really_scan(folder)

    monkeypatch.setattr(os, "scandir", scan)
    found = list(walk(tmp_path, "", STRICT))
    assert entries(found) == ["/closed/", "/open/", "/open/a"]
    assert refused(found) == {"closed": "Permission denied"}


def test_a_file_that_vanishes_between_the_listing_and_its_turn_is_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    really_judge = local_files._judge

    def judge(source: str, *more: Any) -> FoundEntry:
        if source.endswith("a"):
            (tmp_path / "b").unlink()
        return really_judge(source, *more)

    monkeypatch.setattr(local_files, "_judge", judge)
    found = list(walk(tmp_path, "", STRICT))
    assert (entries(found), refused(found)) == (["/a", "/c"], {"b": "No such file or directory"})


def test_the_sizes_of_what_would_be_sent_are_added_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, size in (("a", 100), ("sub/b", 20), ("con", 3000)):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert local_files.size_bytes(tmp_path, "", STRICT) == 120
    assert local_files.size_bytes(tmp_path, "/to", LOOSE) == 3120
    assert local_files.size_bytes(tmp_path / "a", "", STRICT) == 100


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (TimeoutError(), "TimeoutError"),
        (Invalid("too long"), "too long"),
    ],
)
def test_a_reason_is_the_systems_sentence_or_ours(failure: OSError | Invalid, reason: str) -> None:
    assert local_files.reason_of(failure) == reason


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000, 1 << 20])
def test_a_file_is_read_whole_in_pieces_of_bounded_size(tmp_path: Path, piece_bytes: int) -> None:
    content = os.urandom(1000)
    (tmp_path / "a").write_bytes(content)
    with LocalFile(entry_of(tmp_path / "a")) as file:
        pieces = list(file.pieces(piece_bytes))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= piece_bytes


def test_an_empty_file_has_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with LocalFile(entry_of(tmp_path / "a")) as file:
        assert list(file.pieces(10)) == []


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"x")


def _touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def _edit(path: Path) -> None:
    path.write_bytes(b"y" * 100)


@pytest.mark.parametrize("change", [_grow, lambda path: os.truncate(path, 99), _touch, _edit])
def test_a_file_that_is_no_longer_as_it_was_found_is_refused(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(0, 1_600_000_000_000_000_000))
    entry = entry_of(path)
    change(path)
    with LocalFile(entry) as file, pytest.raises(Unreadable, match="changed while it was read"):
        list(file.pieces(10))


def test_a_file_that_grows_without_end_is_read_no_further_than_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    entry = entry_of(path)
    read: list[int] = []

    def read_while_it_grows(file: LocalFile) -> None:
        for piece in file.pieces(30):
            read.append(len(piece))
            assert len(read) < 10
            with path.open("ab") as stream:
                stream.write(b"x" * 1000)

    with LocalFile(entry) as file, pytest.raises(Unreadable):
        read_while_it_grows(file)
    assert read == [30, 30, 30, 10]


def test_a_link_a_pipe_or_nothing_in_the_place_of_a_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("mine")
    secret = tmp_path / "secret"
    secret.write_text("another user's secret")
    entry = entry_of(path)
    path.unlink()
    with pytest.raises(Unreadable, match="No such file"):
        LocalFile(entry)
    path.symlink_to(secret)
    with pytest.raises(Unreadable, match="symbolic links"):
        LocalFile(entry)
    path.unlink()
    os.mkfifo(path)
    with LocalFile(entry) as file, pytest.raises(Unreadable, match="changed while it was read"):
        list(file.pieces(10))


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("mine")
    entry = entry_of(path)
    path.unlink()
    path.mkdir()
    with LocalFile(entry) as file, pytest.raises(Unreadable, match="Is a directory"):
        list(file.pieces(10))


def test_a_read_error_of_the_disk_is_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("x")
    entry = entry_of(tmp_path / "a")

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with LocalFile(entry) as file, pytest.raises(Unreadable, match="Input/output error"):
        list(file.pieces(10))


def test_a_file_is_closed_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("x")
    really_close, closed = os.close, list[int]()

    def close(number: int) -> None:
        closed.append(number)
        really_close(number)

    def fail() -> None:
        with LocalFile(entry_of(tmp_path / "a")):
            raise KeyError

    monkeypatch.setattr(os, "close", close)
    with pytest.raises(KeyError):
        fail()
    assert len(closed) == 1

"""The download of a share: what is listed, what is written, and what fails alone with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import NotFound
from headwater.cli import run_as
from headwater.contracts.files.names import NamePolicy
from headwater.installation import connect
from headwater.store.database import Database
from headwater.transfer import get_folder
from headwater.transfer.get_folder import FolderDownload, Listing, SharedFile, listing
from tests.unit.cli.conftest import Done, Shares

MIB = 1024 * 1024


class Source:
    """A share that was filled from a local folder."""

    def __init__(self, share: Shares, database: Database, folder: Path) -> None:
        self.share, self.database, self.folder = share, database, folder
        self.id = share.create("--case-sensitive", "--any-names")["id"]

    def put(self, files: dict[str, bytes | None]) -> None:
        """Upload files, and folders where the content is None."""
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        assert self.share("put", self.folder, self.id).code == 0

    def listed(self, path: str = "/") -> Listing:
        """The listing of a path."""
        return self.database.read_now(lambda tx: listing(tx, run_as.share(tx, self.id), path))

    def download(self, found: Listing, to: Path) -> FolderDownload:
        """A download of a listing into a new folder, not yet begun."""
        to.mkdir()
        packs = connect.open_packs(self.share.installed.settings)
        self.steps: list[tuple[str, int, int]] = []
        return FolderDownload(self.database, packs, found, to, lambda *step: self.steps.append(step))

    def get(self, to: Path, *more: str) -> Done:
        """Run the command."""
        return self.share("get", self.id, to, "--json", *more)

    def packs(self) -> list[Path]:
        """The files of the packs."""
        return [path for path in (self.share.installed.folder / "packs").rglob("*") if path.is_file()]


@pytest.fixture
def source(share: Shares, tmp_path: Path) -> Iterator[Source]:
    with share.installed.database() as database:
        (tmp_path / "local").mkdir()
        yield Source(share, database, tmp_path / "local")


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


FILES: dict[str, bytes | None] = {
    "a.txt": b"a", "empty.txt": b"", "sub/b.txt": b"bb", "sub/deep/c.txt": b"ccc", "sub/none": None,
}  # fmt: skip


def test_a_listing_names_each_folder_before_what_is_in_it(source: Source) -> None:
    source.put(FILES)
    found = source.listed()
    assert sorted(found.folders) == [("sub",), ("sub", "deep"), ("sub", "none")]
    seen: set[tuple[str, ...]] = {()}
    for names in found.folders:
        assert names[:-1] in seen
        seen.add(names)
    assert {file.path: file.size_bytes for file in found.files} == {
        ("a.txt",): 1, ("empty.txt",): 0, ("sub", "b.txt"): 2, ("sub", "deep", "c.txt"): 3,
    }  # fmt: skip
    assert found.size_bytes == 6


def test_a_listing_of_a_part_has_paths_from_there(source: Source) -> None:
    source.put(FILES)
    part = source.listed("/sub")
    assert (sorted(part.folders), sorted(file.path for file in part.files)) == (
        [("deep",), ("none",)], [("b.txt",), ("deep", "c.txt")],
    )  # fmt: skip
    one = source.listed("/sub/deep/c.txt")
    assert (list(one.folders), [file.path for file in one.files]) == ([], [("c.txt",)])
    assert source.listed("/sub/none").files == []
    with pytest.raises(NotFound):
        source.listed("/sub/other")


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_a_folder_of_many_is_listed_and_written_whole(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    files: dict[str, bytes | None] = {f"{number}.txt": b"x" * number for number in range(5)}
    source.put(files)
    monkeypatch.setattr(get_folder, "CHILDREN_AT_ONCE", at_once)
    monkeypatch.setattr(get_folder, "FILES_AT_ONCE", at_once)
    done = source.get(tmp_path / "out")
    assert (done.code, done.json["files"], done.json["written_bytes"]) == (0, 5, 10)
    assert tree(tmp_path / "out") == files


def test_every_byte_is_reported_and_the_last_step_is_the_whole(source: Source, tmp_path: Path) -> None:
    large = os.urandom(3 * MIB)
    source.put({"large.bin": large, "small.txt": b"x" * 10})
    download = source.download(source.listed(), tmp_path / "out")
    download.write()
    done = [step[1] for step in source.steps]
    assert (done, done[-1]) == (sorted(done), 3 * MIB + 10)
    assert len(done) > 2
    assert {(step[0], step[2]) for step in source.steps} == {("files", 3 * MIB + 10)}
    assert tree(tmp_path / "out")["large.bin"] == large


def test_an_empty_share_is_an_empty_folder(source: Source, tmp_path: Path) -> None:
    done = source.get(tmp_path / "out")
    assert (done.code, done.json["files"], done.json["folders"], done.json["written_bytes"]) == (0, 0, 0, 0)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", [".hidden", ".headwater-0", "sub/x"])
def test_a_folder_with_anything_in_it_is_refused_and_untouched(source: Source, tmp_path: Path, name: str) -> None:
    source.put(FILES)
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_text("mine")
    before = tree(tmp_path / "out")
    done = source.get(tmp_path / "out")
    assert (done.code, "is not empty" in done.problem["detail"]) == (1, True)
    assert tree(tmp_path / "out") == before


def test_a_link_to_an_empty_folder_is_a_folder(source: Source, tmp_path: Path) -> None:
    source.put(FILES)
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert source.get(tmp_path / "out").code == 0
    assert tree(tmp_path / "real") == FILES | {"sub": None, "sub/deep": None}


def change(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    if old in content:
        path.write_bytes(content.replace(old, new))


def test_a_chunk_with_another_byte_is_a_failure_of_its_files_alone(source: Source, tmp_path: Path) -> None:
    content = b"the marked content of a file"
    source.put({"a.txt": content, "copy.txt": content, "b.txt": b"other"})
    for pack in source.packs():
        change(pack, content, content.replace(b"marked", b"marred"))
    done = source.get(tmp_path / "out")
    assert (done.code, done.json["failed"], done.json["files"]) == (1, 2, 1)
    assert sorted(failure["file"] for failure in done.json["failures"]) == ["/a.txt", "/copy.txt"]
    assert tree(tmp_path / "out") == {"b.txt": b"other"}


def test_a_later_chunk_with_another_byte_leaves_no_half_of_its_file(source: Source, tmp_path: Path) -> None:
    large = os.urandom(6 * MIB)
    source.put({"large.bin": large, "b.txt": b"other"})
    end = large[-1000:]
    for pack in source.packs():
        change(pack, end, bytes(1000))
    done = source.get(tmp_path / "out")
    assert (done.code, [failure["file"] for failure in done.json["failures"]]) == (1, ["/large.bin"])
    assert tree(tmp_path / "out") == {"b.txt": b"other"}


def test_a_pack_that_is_missing_is_a_failure_of_each_file_in_it(source: Source, tmp_path: Path) -> None:
    source.put({"a.txt": b"a", "b.txt": b"b"})
    for pack in source.packs():
        pack.unlink()
    done = source.get(tmp_path / "out")
    assert (done.code, done.json["failed"], tree(tmp_path / "out")) == (1, 2, {})


def test_a_chunk_that_no_pack_has_is_a_failure_with_its_hash(source: Source, tmp_path: Path) -> None:
    source.put({"a.txt": b"a", "b.txt": b"b"})
    source.database.write_now(lambda tx: tx.run("DELETE FROM chunks WHERE length_bytes = 1"))
    done = source.get(tmp_path / "out")
    assert (done.code, done.json["failed"]) == (1, 2)
    assert all("is missing" in failure["reason"] for failure in done.json["failures"])


def test_a_version_that_is_missing_is_a_failure_and_has_no_size(source: Source, tmp_path: Path) -> None:
    source.put({"a.txt": b"a", "b.txt": b"bb"})
    found = source.listed()
    files = [file if file.path == ("b.txt",) else SharedFile(file.path, "", "", -1, 0) for file in found.files]
    download = source.download(found._replace(files=files), tmp_path / "out")
    download.write()
    assert [tuple(failure) for failure in download.failures] == [("/a.txt", "its version is missing")]
    assert (download.counts, tree(tmp_path / "out")) == ({"failed": 1, "files": 1}, {"b.txt": b"bb"})


@pytest.mark.parametrize("size_bytes", [1, 3])
def test_a_content_of_another_size_than_its_version_is_a_failure(
    source: Source, tmp_path: Path, size_bytes: int
) -> None:
    source.put({"a.txt": b"aa"})
    found = source.listed()
    (file,) = found.files
    download = source.download(found._replace(files=[file._replace(size_bytes=size_bytes)]), tmp_path / "out")
    download.write()
    assert [failure.reason for failure in download.failures] == [
        f"its chunks have 2 bytes, and it should have {size_bytes}"
    ]
    assert tree(tmp_path / "out") == {}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\x00b", "", "../out2", "/etc"])
def test_a_name_that_leads_elsewhere_is_never_written(source: Source, tmp_path: Path, name: str) -> None:
    source.put({"a.txt": b"a"})
    found = source.listed()
    (file,) = found.files
    hostile = found._replace(files=[file._replace(path=(name,))], folders=[("x",), ("x", name)])
    (tmp_path / "outer").mkdir()
    download = source.download(hostile, tmp_path / "outer" / "out")
    download.write()
    assert download.counts == {"failed": 2, "folders": 1}
    assert tree(tmp_path / "outer") == {"out": None, "out/x": None}


def test_names_that_differ_only_for_the_share_do_not_overwrite_each_other(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put({"A.txt": b"A", "a.txt": b"a", "B/x": b"x", "b/y": b"y"})
    really = os.path.lexists
    written: set[str] = set()

    def folding(path: Any) -> bool:
        """A file system that takes large and small letters for the same."""
        key = str(path).lower()
        found = key in written or really(path)
        written.add(key)
        return found

    monkeypatch.setattr(os.path, "lexists", folding)
    done = source.get(tmp_path / "out")
    assert (done.code, done.json["files"], done.json["folders"], done.json["failed"]) == (1, 2, 1, 3)
    reasons = {failure["file"]: failure["reason"] for failure in done.json["failures"]}
    assert sum("takes its name for that of another" in reason for reason in reasons.values()) == 2
    assert sum(reason == "its folder could not be made" for reason in reasons.values()) == 1


def test_names_that_this_system_cannot_hold_fail_with_those_below_them(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put({"con/a.txt": b"a", "con/deep/b.txt": b"b", "nul.txt": b"n", "good.txt": b"g"})
    monkeypatch.setattr(get_folder, "LOCAL_NAMES", NamePolicy(portable=True))
    done = source.get(tmp_path / "out")
    assert {failure["file"] for failure in done.json["failures"]} == {
        "/con", "/con/a.txt", "/con/deep", "/con/deep/b.txt", "/nul.txt",
    }  # fmt: skip
    assert tree(tmp_path / "out") == {"good.txt": b"g"}


@pytest.mark.parametrize(("refused", "files", "folders"), [("mkdir", 1, 0), ("rename", 0, 1)])
def test_a_name_that_the_file_system_refuses_fails_alone(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, files: int, folders: int
) -> None:
    source.put({"sub": None, "a.txt": b"a"})
    download = source.download(source.listed(), tmp_path / "out")
    really = getattr(Path, refused)

    def refuse(self: Path, *more: Any, **named: Any) -> Any:
        if self.name.startswith(".headwater-"):
            return really(self, *more, **named)
        raise OSError(36, "File name too long")

    monkeypatch.setattr(Path, refused, refuse)
    download.write()
    monkeypatch.undo()
    assert [failure.reason for failure in download.failures] == ["File name too long"]
    assert (download.counts["files"], download.counts["folders"]) == (files, folders)
    assert len(tree(tmp_path / "out")) == 1


def test_a_disk_that_fills_up_ends_the_download_and_leaves_no_temporary_file(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put({"a.txt": b"a", "b.txt": b"b"})

    def full(*_: Any, **__: Any) -> Iterator[bytes]:
        yield b"a"
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(get_folder, "read_range", full)
    done = source.get(tmp_path / "out")
    assert (done.code, done.problem["code"], "No space left" in done.problem["detail"]) == (1, "SYSTEM", True)
    assert list((tmp_path / "out").iterdir()) == []


def test_of_many_failures_the_first_are_listed_and_all_are_counted(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put({f"{number}.txt": b"x%d" % number for number in range(25)})
    for pack in source.packs():
        pack.unlink()
    monkeypatch.setattr(get_folder, "FAILURES_KEPT", 22)
    done = source.get(tmp_path / "out")
    assert (done.json["failed"], len(done.json["failures"])) == (25, 22)
    shown = source.share("get", source.id, tmp_path / "other")
    assert (shown.code, "and 5 more; --json lists up to 1000" in shown.err) == (1, True)
    assert sum(line.startswith("/") for line in shown.out.splitlines()) == 20


def test_a_listing_is_one_moment_and_later_changes_are_not_in_it(source: Source, tmp_path: Path) -> None:
    source.put({"a.txt": b"old", "gone.txt": b"gone"})
    found = source.listed()
    (source.folder / "a.txt").write_bytes(b"newer")
    source.put({"later.txt": b"later"})
    download = source.download(found, tmp_path / "out")
    download.write()
    assert tree(tmp_path / "out") == {"a.txt": b"old", "gone.txt": b"gone"}

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Invalid
from headwater.contracts.files.devices.preferences import FolderChoice, stored_folders
from headwater.contracts.files.names import NamePolicy, join_path

PATHS = st.lists(st.sampled_from("abA"), max_size=4).map(lambda parts: join_path(tuple(parts)))


def test_no_selected_folder_means_all() -> None:
    assert FolderChoice().wants("/")
    assert FolderChoice().wants("/Docs/a.txt")


def test_selected_folders_leave_out_the_rest() -> None:
    choice = FolderChoice(["/Docs"])
    assert choice.wants("/Docs")
    assert choice.wants("/Docs/a/b.txt")
    assert not choice.wants("/Music/a.mp3")
    assert not choice.wants("/")


def test_a_folder_does_not_hold_what_only_begins_alike() -> None:
    assert not FolderChoice(["/Docs"]).wants("/Docs2/a.txt")
    assert FolderChoice(excluded=["/Docs"]).wants("/Docs2/a.txt")


def test_the_longest_match_wins_at_any_depth() -> None:
    choice = FolderChoice(["/Docs", "/Docs/old/keep"], ["/Docs/old"])
    assert choice.wants("/Docs/new.txt")
    assert not choice.wants("/Docs/old/x.txt")
    assert choice.wants("/Docs/old/keep/x.txt")


def test_on_a_tie_excluded_wins() -> None:
    assert not FolderChoice(["/Docs"], ["/docs"]).wants("/Docs/a.txt")
    assert not FolderChoice(["/"], ["/"]).wants("/a")
    assert not FolderChoice([], ["/"]).wants("/a")


def test_folders_are_compared_as_the_share_compares_names() -> None:
    assert FolderChoice(["/A\u030arsak"]).wants("/ÅRSAK/a.txt")
    assert not FolderChoice(["/docs"], policy=NamePolicy(case_sensitive=True)).wants("/Docs/a.txt")


def test_the_folders_above_a_selected_one_are_needed_but_not_wanted() -> None:
    choice = FolderChoice(["/a/b/c"], ["/a"])
    assert [choice.needs_folder(path) for path in ("/", "/a", "/a/b", "/a/b/c", "/a/x")] == [
        True, True, True, True, False,
    ]  # fmt: skip
    assert not choice.wants("/a/b")


def test_the_folders_above_a_folder_that_is_excluded_too_are_not_needed() -> None:
    assert not FolderChoice(["/a/b"], ["/a/b"]).needs_folder("/a")


@given(st.lists(PATHS, max_size=4), st.lists(PATHS, max_size=4), PATHS)
def test_the_answer_is_that_of_looking_at_every_folder(selected: list[str], excluded: list[str], path: str) -> None:
    def depth_of_longest(folders: list[str]) -> int:
        parts = [part.lower() for part in path.split("/") if part]
        split = [[part.lower() for part in folder.split("/") if part] for folder in folders]
        return max((len(folder) for folder in split if parts[: len(folder)] == folder), default=-1)

    expected = depth_of_longest(selected or ["/"]) > depth_of_longest(excluded)
    choice = FolderChoice(selected, excluded)
    assert choice.wants(path) is expected
    if expected:
        above = path
        while above != "/":
            above = above.rpartition("/")[0] or "/"
            assert choice.needs_folder(above)


def test_folders_are_stored_in_nfc_each_once_in_order() -> None:
    raw = ["/b/", "/A\u030a", "/å", "/b", "/"]
    assert stored_folders(raw, field="selected_folders") == ("/b", "/Å", "/")


def test_a_preference_may_name_a_folder_that_is_not_portable() -> None:
    assert stored_folders(["/con", "/a:b"], field="selected_folders") == ("/con", "/a:b")


def test_every_wrong_folder_is_named_with_its_index() -> None:
    with pytest.raises(Invalid) as refused:
        stored_folders(["/ok", "no", "/a/../b", "/x//"], field="excluded_folders")
    assert [(error.field, error.code) for error in refused.value.fields] == [
        ("excluded_folders[1]", "not_absolute"),
        ("excluded_folders[2]", "dots"),
        ("excluded_folders[3]", "empty"),
    ]

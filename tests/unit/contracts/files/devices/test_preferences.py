from __future__ import annotations

import pytest

from headwater.base.errors import Invalid
from headwater.contracts.files.devices.preferences import stored_folders


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

from __future__ import annotations

import sys
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Invalid, StateConflict
from headwater.contracts.files.names import (
    MAX_NAME_BYTES,
    NamePolicy,
    copy_name,
    device_label,
    join_path,
    name_key,
    parent_path,
    path_key,
    split_extension,
    split_path,
    stored_name,
    stored_path,
)

SENSITIVE = NamePolicy(case_sensitive=True)
ANY_SYSTEM = NamePolicy(portable=False)
AT_US = 1_767_323_045_000_000  # 2026-01-02T03:04:05Z
MARK = " (conflicted copy laptop 2026-01-02 030405)"


def reason_of(raw: str, policy: NamePolicy = ANY_SYSTEM) -> str:
    with pytest.raises(Invalid) as refused:
        stored_name(raw, policy)
    (field,) = refused.value.fields
    assert field.field == "name"
    assert field.detail in refused.value.detail
    return field.code


def never(_key: str) -> bool:
    return False


def accepted_names() -> st.SearchStrategy[str]:
    def is_accepted(raw: str) -> bool:
        try:
            stored_name(raw)
        except Invalid:
            return False
        return True

    return st.text(min_size=1, max_size=90).map(lambda raw: unicodedata.normalize("NFC", raw)).filter(is_accepted)


class TestAcceptedNames:
    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            ("", "empty"),
            (".", "dots"),
            ("..", "dots"),
            ("a/b", "slash"),
            ("/", "slash"),
            ("a\0b", "control"),
            ("a\nb", "control"),
            ("\x7f", "control"),
            ("\x85", "control"),
            ("\ud800", "surrogate"),
            ("a\udfffb", "surrogate"),
            ("a" * 256, "too_long"),
            ("å" * 128, "too_long"),
        ],
    )
    def test_no_share_accepts_a_name_that_no_file_system_holds(self, raw: str, reason: str) -> None:
        assert reason_of(raw) == reason

    def test_a_long_row_of_combining_marks_is_refused_before_it_is_sorted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        normalize = unicodedata.normalize
        lengths: list[int] = []

        def noted(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
            lengths.append(len(text))
            return normalize(form, text)

        monkeypatch.setattr(unicodedata, "normalize", noted)
        marks = "\u0315" * 4_000 + "\u0300" * 4_000
        assert reason_of("a" + marks) == "too_long"
        for path in ("/a" + marks, "/a" + marks + "/b" * 2_000, "/a\u0300" * 5_000):
            with pytest.raises(Invalid, match="has at most"):
                stored_path(path)
        assert max(lengths, default=0) <= 2 * MAX_NAME_BYTES
        assert stored_name("e\u0301" + "a") == "éa"
        assert lengths, "the spy saw the normalizing of a name"

    def test_what_fits_in_nfc_is_accepted_however_it_is_decomposed(self) -> None:
        longest = "\u03b9\u0308\u0301"  # three code points, two bytes in NFC
        assert stored_name(longest * 127 + "a") == "\u0390" * 127 + "a"
        assert stored_path(f"/{longest * 127}a" * 16) == ("/" + "\u0390" * 127 + "a") * 16
        expanding = (
            c for c in map(chr, range(0x30000)) if unicodedata.decomposition(c) and not "\ud800" <= c < "\ue000"
        )
        assert all(len(unicodedata.normalize("NFD", c)) <= 2 * len(c.encode()) for c in expanding)

    @pytest.mark.parametrize("raw", ["a" * 255, "å" * 127, "...", " a", "a\u200db", "a\u2028b", "😀", ".bashrc"])
    def test_a_name_is_accepted_up_to_the_limit(self, raw: str) -> None:
        assert stored_name(raw, ANY_SYSTEM) == raw

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [(f"a{c}b", "character") for c in '<>:"\\|?*']
        + [("a.", "trailing"), ("a ", "trailing"), ("...", "trailing")]
        + [
            (name, "reserved")
            for name in (
                "CON",
                "con",
                "Nul.txt",
                "aux.tar.gz",
                "prn .txt",
                "COM1",
                "com9.log",
                "LPT1.x",
                "COM¹",
                "com².txt",
                "LPT³",
                "CONIN$",
                "conout$.txt",
            )
        ],
    )
    def test_the_portable_policy_refuses_what_windows_cannot_hold(self, raw: str, reason: str) -> None:
        assert reason_of(raw, NamePolicy()) == reason
        assert stored_name(raw, ANY_SYSTEM) == raw

    @pytest.mark.parametrize("raw", ["CON1", "COM0", "COM10", "console", "a.con", "LPT", "com\u2074", ".con"])
    def test_the_portable_policy_accepts_what_only_resembles_a_reserved_name(self, raw: str) -> None:
        assert stored_name(raw) == raw

    def test_length_counts_after_composition(self) -> None:
        decomposed = "a\u030a" * 127  # 381 bytes as sent, 254 as stored
        assert stored_name(decomposed) == "å" * 127

    def test_a_character_that_composes_away_is_not_held_against_the_name(self) -> None:
        assert stored_name("a<\u0338b") == "a\u226eb"

    @given(st.text(max_size=60))
    def test_what_is_stored_is_accepted_again_unchanged(self, raw: str) -> None:
        try:
            name = stored_name(raw)
        except Invalid:
            return
        assert stored_name(name) == name
        assert unicodedata.is_normalized("NFC", name)


class TestKeys:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("README", "readme"),
            ("Å", "a\u030a"),
            ("\u212b", "å"),
            ("Straße", "STRASSE"),
            ("ﬁle", "FILE"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("\u1fb3", "\u03b1\u0345"),
            ("\u03b1\u0345\u0301", "\u03ac\u0345"),
        ],
    )
    def test_names_that_differ_in_case_or_composition_have_one_key(self, one: str, other: str) -> None:
        assert name_key(one) == name_key(other)

    @pytest.mark.parametrize(("one", "other"), [("a", "b"), ("I", "\u0131"), ("a", "å"), ("COM1", "COM¹"), ("a ", "a")])
    def test_other_names_have_other_keys(self, one: str, other: str) -> None:
        assert name_key(one) != name_key(other)

    def test_a_case_sensitive_share_tells_case_apart_but_not_composition(self) -> None:
        assert name_key("A", SENSITIVE) != name_key("a", SENSITIVE)
        assert name_key("Å", SENSITIVE) == name_key("A\u030a", SENSITIVE)

    def test_the_key_of_a_key_is_the_key_for_every_character(self) -> None:
        for code_point in range(sys.maxunicode + 1):
            key = name_key(chr(code_point))
            assert name_key(key) == key, hex(code_point)

    @given(st.text(max_size=40))
    def test_storing_a_name_does_not_change_its_key(self, raw: str) -> None:
        for policy in (NamePolicy(), SENSITIVE):
            assert name_key(unicodedata.normalize("NFC", raw), policy) == name_key(raw, policy)
            assert name_key(unicodedata.normalize("NFD", raw), policy) == name_key(raw, policy)


class TestPaths:
    @pytest.mark.parametrize(("path", "names"), [("/", ()), ("/a", ("a",)), ("/a/b.txt", ("a", "b.txt"))])
    def test_a_path_splits_into_its_components_and_back(self, path: str, names: tuple[str, ...]) -> None:
        assert split_path(path) == names
        assert join_path(names) == path
        assert stored_path(path) == path

    @given(st.lists(accepted_names(), max_size=6))
    def test_any_accepted_components_make_a_path(self, names: list[str]) -> None:
        assert split_path(stored_path(join_path(tuple(names)))) == tuple(names)

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            ("", "not_absolute"),
            ("a/b", "not_absolute"),
            ("//", "empty"),
            ("/a//b", "empty"),
            ("/a/", "empty"),
            ("/a/../b", "dots"),
            ("/./a", "dots"),
            ("/a/nul", "reserved"),
            ("/" + "/".join(["a" * 255] * 16) + "/a", "path_too_long"),
        ],
    )
    def test_a_path_is_refused_with_its_reason(self, raw: str, reason: str) -> None:
        with pytest.raises(Invalid) as refused:
            stored_path(raw, field="new_path")
        assert [(error.field, error.code) for error in refused.value.fields] == [("new_path", reason)]

    def test_a_path_of_4096_bytes_is_accepted(self) -> None:
        path = "/" + "/".join(["a" * 255] * 16)
        assert len(path) == 4096
        assert stored_path(path) == path

    def test_paths_compare_by_the_keys_of_their_components(self) -> None:
        assert path_key("/Docs/A\u030a.TXT") == path_key("/docs/å.txt")
        assert path_key("/Docs", SENSITIVE) != path_key("/docs", SENSITIVE)
        assert path_key("/") == "/"

    @pytest.mark.parametrize(("path", "parent"), [("/a/b", "/a"), ("/a", "/"), ("/", "/")])
    def test_the_parent_holds_the_path(self, path: str, parent: str) -> None:
        assert parent_path(path) == parent


class TestExtensions:
    @pytest.mark.parametrize(
        ("name", "stem", "extension"),
        [
            ("a.txt", "a", ".txt"),
            ("a.b.txt", "a.b", ".txt"),
            ("a.tar.gz", "a", ".tar.gz"),
            ("a.TAR.xz", "a", ".TAR.xz"),
            ("a.tar", "a", ".tar"),
            (".tar.gz", ".tar", ".gz"),
            ("a", "a", ""),
            ("a.", "a.", ""),
            (".bashrc", ".bashrc", ""),
            (".bashrc.bak", ".bashrc", ".bak"),
            ("..", "..", ""),
            ("...a.b", "...a", ".b"),
            ("Mr. Smith", "Mr. Smith", ""),
            ("v1.2", "v1", ".2"),
            ("a.c++", "a", ".c++"),
            ("a.ænd", "a", ".ænd"),
            ("a.seventeencharacts", "a.seventeencharacts", ""),
            ("a.seventeencharact", "a", ".seventeencharact"),
        ],
    )
    def test_an_extension_is_short_and_follows_a_stem(self, name: str, stem: str, extension: str) -> None:
        assert split_extension(name) == (stem, extension)

    @given(st.text(min_size=1, max_size=80))
    def test_stem_and_extension_are_the_name_and_the_stem_is_never_empty(self, name: str) -> None:
        stem, extension = split_extension(name)
        assert stem + extension == name
        assert stem


class TestCopyNames:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("report.txt", f"report{MARK}.txt"),
            ("backup.tar.gz", f"backup{MARK}.tar.gz"),
            (".bashrc", f".bashrc{MARK}"),
            ("README", f"README{MARK}"),
        ],
    )
    def test_a_copy_is_named_after_device_and_time_before_the_extension(self, name: str, expected: str) -> None:
        assert copy_name(name, "laptop", AT_US, never) == expected

    def test_a_folders_copy_has_no_extension(self) -> None:
        assert copy_name("v1.2", "laptop", AT_US, never, folder=True) == f"v1.2{MARK}"

    def test_a_taken_name_gets_a_number(self) -> None:
        used = {name_key(f"A{MARK}.txt"), name_key(f"A{MARK} 2.txt")}
        assert copy_name("a.txt", "laptop", AT_US, used.__contains__) == f"a{MARK} 3.txt"

    def test_a_case_sensitive_share_is_asked_for_exact_names(self) -> None:
        used = {f"A{MARK}.txt"}
        assert copy_name("A.txt", "laptop", AT_US, used.__contains__, policy=SENSITIVE) == f"A{MARK} 2.txt"
        assert copy_name("a.txt", "laptop", AT_US, used.__contains__, policy=SENSITIVE) == f"a{MARK}.txt"

    def test_when_every_number_is_taken_it_gives_up_instead_of_searching_for_ever(self) -> None:
        with pytest.raises(StateConflict):
            copy_name("a.txt", "laptop", AT_US, lambda _key: True)

    def test_the_stem_is_cut_between_code_points_and_the_extension_kept(self) -> None:
        name = copy_name("😀" * 62 + "a.jpeg", "laptop", AT_US, never)
        assert name == "😀" * 51 + f"{MARK}.jpeg"
        assert MAX_NAME_BYTES - 4 < len(name.encode()) <= MAX_NAME_BYTES

    def test_the_stem_is_cut_by_the_bytes_of_all_that_follows_it(self) -> None:
        name = copy_name("a" * 250 + ".ænd", "å" * 30, AT_US, never)
        assert len(name.encode()) == MAX_NAME_BYTES
        assert name.endswith(f" (conflicted copy {'å' * 30} 2026-01-02 030405).ænd")

    @given(accepted_names(), st.text(max_size=200), st.integers(0, 4_000_000_000_000_000), st.integers(0, 12))
    def test_every_copy_name_is_accepted_as_it_is_and_free(
        self, name: str, device_name: str, at_us: int, others: int
    ) -> None:
        used: set[str] = set()
        for _ in range(others + 1):
            copy = copy_name(name, device_name, at_us, used.__contains__)
            assert stored_name(copy) == copy
            assert name_key(copy) not in used
            used.add(name_key(copy))

    @pytest.mark.parametrize(
        ("device_name", "label"),
        [
            ("Kari's laptop", "Kari's laptop"),
            ("a/b:c\\d", "a-b-c-d"),
            ("  two\n lines\t", "two lines"),
            ("evil\u202etxt", "evil-txt"),
            ("\ud800", "-"),
            ("...", "device"),
            ("", "device"),
            ("å" * 40, "å" * 32),
            ("cafe\u0301", "café"),
        ],
    )
    def test_a_device_name_becomes_one_safe_line(self, device_name: str, label: str) -> None:
        assert device_label(device_name) == label

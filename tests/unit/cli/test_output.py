"""The output of commands: aligned tables, JSON, remarks, and texts that would control a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from headwater.cli.output import as_json_text, say_note, say_problem, show_one, show_rows

HOSTILE = "a\x1b[2J\x07\r\x9b\u202ez\x00\ud8ff"
SHOWN = "a?[2J????z??"
Capture = pytest.CaptureFixture[str]


def test_columns_are_as_wide_as_their_widest_cell_and_lines_have_no_spaces_at_their_end(capsys: Capture) -> None:
    show_rows([{"id": "a", "long_name": "x"}, {"id": "longer", "long_name": ""}], as_json=False, none="")
    assert capsys.readouterr().out == "ID      LONG NAME\na       x\nlonger  -\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ([], "-"),
        ((), "-"),
        (["a", "b"], "a b"),
        ([1, 2], "1 2"),
        ("two\nlines", "two?lines"),
        (HOSTILE, SHOWN),
        ([HOSTILE, "b\n"], SHOWN + " b?"),
        ("blåbær 漢字 🫐", "blåbær 漢字 🫐"),
    ],
)
def test_a_value_is_shown_on_one_line_without_control_characters(capsys: Capture, value: object, shown: str) -> None:
    show_rows([{"x": value}], as_json=False, none="")
    show_one({"x": value}, as_json=False)
    assert capsys.readouterr().out == f"X\n{shown}\nx  {shown}\n"


def test_no_text_of_a_row_moves_the_columns_after_it(capsys: Capture) -> None:
    show_rows([{"a": HOSTILE, "b": 1}, {"a": "plain", "b": 2}], as_json=False, none="")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert {line.index(end) for line, end in zip(lines, "B12", strict=True)} == {len(SHOWN) + 2}


def test_json_has_the_texts_of_a_row_as_they_are(capsys: Capture) -> None:
    row = {"name": "a\x1b[2J\n\x00", "flag": True, "none": None, "list": ["x"]}
    show_one(row, as_json=True)
    show_rows([row], as_json=True, none="nothing")
    one, rows = capsys.readouterr().out.splitlines()
    assert (json.loads(one), json.loads(rows)) == (row, [row])
    assert "\x1b" not in one + rows


@pytest.mark.parametrize("value", ["\udcff", ["\udcff"], {"x": {"y": ["\udcff"]}}, ("\udcff",)])
def test_json_of_a_name_that_is_no_utf8_has_a_question_mark_there(value: object) -> None:
    assert json.loads(as_json_text(value)) == json.loads(json.dumps(value).replace("\\udcff", "?"))


def test_keys_that_end_in_at_are_times_and_only_when_they_are_numbers(capsys: Capture) -> None:
    row = {"created_at": 1_700_000_000_000_000, "ended_at": None, "made_at": "now", "what": 1_700_000_000_000_000}
    show_one(row, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown == row | {"created_at": "2023-11-14T22:13:20Z"}
    show_rows([row], as_json=False, none="")
    assert capsys.readouterr().out.splitlines()[1].split() == ["2023-11-14T22:13:20Z", "-", "now", str(row["what"])]


def test_no_rows_are_a_remark_for_people_and_an_empty_list_for_programs(capsys: Capture) -> None:
    show_rows([], as_json=False, none="there is nothing")
    assert capsys.readouterr() == ("", "there is nothing\n")
    show_rows([], as_json=True, none="there is nothing")
    assert capsys.readouterr() == ("[]\n", "")


def test_labels_of_one_row_are_aligned_and_have_spaces_for_underscores(capsys: Capture) -> None:
    show_one({"id": 1, "folders_made": 2}, as_json=False)
    assert capsys.readouterr().out == "id            1\nfolders made  2\n"


@pytest.mark.parametrize("hint", ["", "do that"])
def test_a_problem_is_a_line_and_its_hint_a_second_one(capsys: Capture, hint: str) -> None:
    say_problem("CODE", "it failed", hint)
    assert capsys.readouterr() == ("", "headwater: it failed\n" + (f"  {hint}\n" if hint else ""))
    say_problem("CODE", "it failed", hint, as_json=True)
    out, err = capsys.readouterr()
    assert (out, json.loads(err)) == ("", {"error": {"code": "CODE", "detail": "it failed", "hint": hint}})


@pytest.mark.parametrize("as_json", [False, True])
def test_a_problem_about_a_hostile_text_has_no_control_characters(capsys: Capture, *, as_json: bool) -> None:
    say_problem("CODE", HOSTILE, as_json=as_json)
    err = capsys.readouterr().err
    assert not any(character in err.removesuffix("\n") for character in "\x1b\x07\r\x00\ud8ff")


def test_a_remark_keeps_its_line_breaks_and_no_other_control_character(capsys: Capture) -> None:
    say_note("\nfirst\n" + HOSTILE)
    assert capsys.readouterr() == ("", f"\nfirst\n{SHOWN}\n")


def test_a_mapping_that_is_no_dict_is_json_too() -> None:
    class Lazy(Mapping[str, object]):
        """One key."""

        def __getitem__(self, key: str) -> object:
            return {"a": 1}[key]

        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    assert as_json_text(Lazy()) == '{"a":1}'

"""Progress bars: on a terminal for people, and nowhere else."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from headwater.cli import progress
from headwater.cli.main import main
from tests.unit.cli.conftest import Installed


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_each_kind_of_thing_has_a_bar_of_its_own_on_a_terminal(terminal: Terminal) -> None:
    with redirect_stderr(terminal), progress.bars() as report:
        report("rows", 1, 10)
        report("packs", 2, 5)
        report("rows", 10, 10)
    shown = terminal.getvalue()
    assert ("rows" in shown, "packs" in shown, "10/10" in shown) == (True, True, True)


def test_sizes_are_shown_in_binary_units(terminal: Terminal) -> None:
    with redirect_stderr(terminal), progress.bars(sizes=True) as report:
        report("files", 2**20, 2**21)
    assert "1.0/2.0 MiB" in terminal.getvalue()


def test_a_quiet_bar_writes_nothing_even_on_a_terminal(terminal: Terminal) -> None:
    with redirect_stderr(terminal), progress.bars(quiet=True) as report:
        report("rows", 1, 10)
    assert terminal.getvalue() == ""


def test_without_a_terminal_no_bar_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bars() as report:
        report("rows", 1, 10)
    assert (capsys.readouterr(), progress.watched()) == (("", ""), False)


def test_a_bar_ends_when_the_operation_fails(terminal: Terminal) -> None:
    def fail() -> None:
        with progress.bars() as report:
            report("rows", 1, 10)
            raise KeyError

    with redirect_stderr(terminal), pytest.raises(KeyError):
        fail()
    assert terminal.getvalue().endswith(("\x1b[?25h", "\x1b[2K"))  # the cursor is visible again, the bar erased


@pytest.mark.parametrize("as_json", [True, False])
def test_with_json_no_command_draws_on_a_terminal(
    installed: Installed, terminal: Terminal, tmp_path: Path, *, as_json: bool
) -> None:
    (tmp_path / "c.csv").write_text("first_name\nAda\n")
    at = ["--data", str(installed.folder), *(["--json"] if as_json else [])]
    for words in (
        ["backup", str(tmp_path / "b.tar")],
        ["verify"],
        ["verify", "--backup", str(tmp_path / "b.tar")],
        ["import", "contacts", str(tmp_path / "c.csv"), "--org", "default"],
    ):
        terminal.seek(0)
        terminal.truncate()
        with redirect_stderr(terminal):
            assert main([*words, *at]) == 0
        assert ("\x1b" in terminal.getvalue()) is not as_json, words


def test_a_put_on_a_terminal_counts_the_bytes_of_all_files_first(
    installed: Installed, terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "local"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"a" * 3 * 1024)
    at = ["--data", str(installed.folder)]
    main(["share", "create", "x", "--org", "default", "--json", *at])
    share = json.loads(capsys.readouterr().out)["id"]
    with redirect_stderr(terminal):
        assert main(["share", "put", str(folder), share, *at]) == 0
    assert "3.0/3.0 KiB" in terminal.getvalue()

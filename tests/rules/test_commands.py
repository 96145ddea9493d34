"""Every command line that a page shows is one that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from headwater.cli.main import COMMANDS
from tests.rules.source import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINE = re.compile(r"^(?:\$ )?(?:\S*/)?headwater (.+?)(?:\s+#.*)?$")


def command_lines(text: str) -> list[list[str]]:
    """The arguments of each line in a fenced block that runs ``headwater``."""
    found, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced and (match := LINE.match(line)):
            found.append(shlex.split(match[1]))
    return found


def problem_of(words: list[str]) -> str:
    """Why the program would not take these arguments; empty when it would."""
    if words[0].startswith("-"):
        return "" if words[0] in ("--help", "--version") else f"no option {words[0]}"
    if words[0] not in COMMANDS:
        return f"no command {words[0]}"
    made: Any = COMMANDS[words[0]].load()
    rest = words[1:]
    if subcommands := getattr(made, "commands", None):
        if not rest or rest[0] not in subcommands:
            return f"no command {' '.join(words[:2])}"
        made, rest = subcommands[rest[0]], rest[1:]
    taken = {name for option in made.params for name in option.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word.split("=")[0] not in taken]
    return f"no option {unknown[0]} of {words[0]}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    lines = command_lines(page.read_text("utf-8"))
    assert {shlex.join(words): problem for words in lines if (problem := problem_of(words))} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    text = "```\nheadwater fly --now\n.venv/bin/headwater token list --colour  # x\nheadwater token list --org x\n```"
    assert [problem_of(words) for words in command_lines(text)] == ["no command fly", "no option --colour of token", ""]


def test_the_page_about_operating_shows_commands() -> None:
    assert len(command_lines((ROOT / "docs/operating.md").read_text("utf-8"))) >= 10

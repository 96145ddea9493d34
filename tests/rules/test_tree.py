"""The whole repository: finished files, chosen libraries, locks in step, all shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.rules.source import ROOT, SOURCE, Module, everything, imports, plant

UNWANTED_LIBRARIES = {
    "sqlite3": "apsw brings an SQLite whose version we choose",
    "aiosqlite": "apsw, from one writer thread",
    "sqlalchemy": "plain SQL over a transaction",
    "asyncpg": "psycopg behind the same transaction",
    "fastapi": "plain ASGI",
    "litestar": "plain ASGI",
    "pydantic": "msgspec reads the shapes",
    "argparse": "typer",
    "click": "typer",
    "loguru": "structlog, through headwater.base.log",
    "jose": "PyJWT",
    "passlib": "tokens are random and stored as a hash",
    "httpx": "httpx2",
    "requests": "httpx2",
    "aiohttp": "httpx2 and websockets",
    "urllib3": "httpx2",
    "boto3": "obstore",
    "fastcdc": "pyfastcdc",
    "pickle": "bytes from a disk or a caller are never run",
    "marshal": "bytes from a disk or a caller are never run",
}
# Put together here, or this file would break its own rule.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK", "W" + "IP")) + r")\b")
TEXT_FOLDERS = (".ci", "benchmarks", "docs", "requirements", "src", "tests")
SHIPPED = {".py", ".typed", ".sql", ".html", ".css", ".js", ".json", ".svg", ".txt", ".toml", ".woff2"}
LOCK_LINE = re.compile(
    r"|#.*"
    r"|[a-z0-9.-]+==[^ ;@]+( ; [a-z_]+ [!=<>]+ \"[\w.]+\")? \\"
    r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
    r"|    # .*"
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_no_file_holds_a_note_about_work_to_be_done() -> None:
    assert [place for path in text_files() for place in unfinished(path.name, read(path))] == []


def test_only_chosen_libraries_are_imported() -> None:
    assert unwanted_imports(everything()) == []


def test_every_python_file_reads_its_annotations_late() -> None:
    assert without_late_annotations(everything()) == []


def test_every_file_of_the_package_is_of_a_kind_that_is_shipped() -> None:
    files = [path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [str(path.relative_to(SOURCE)) for path in files if path.suffix not in SHIPPED] == []


@pytest.mark.parametrize("name", ["run", "test"])
def test_a_lock_holds_only_versions_and_hashes(name: str) -> None:
    assert strange_lock_lines(lock(name)) == []


def test_the_locks_give_every_dependency_a_version_that_the_project_allows() -> None:
    needed = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    assert unmet(needed, pins(lock("run"))) == []
    assert unmet(needed + PROJECT["project"]["optional-dependencies"]["test"], pins(lock("test"))) == []


def test_the_test_lock_contains_the_run_lock() -> None:
    tested = pins(lock("test"))
    assert {name: tested.get(name) for name in pins(lock("run"))} == pins(lock("run"))


def test_make_help_tells_of_every_command() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", read(ROOT / "Makefile"), re.MULTILINE)
    assert targets is not None
    told = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = {line.split()[0]: line for line in told.splitlines() if line.startswith("  ")}
    assert [name for name in targets[1].split() if len(lines.get(name, "").split()) < 3] == []


def test_every_link_between_pages_leads_to_a_file() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert [f"{page.name}: {link}" for page in pages for link in dead_links(page, read(page))] == []


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME"])
def test_a_note_about_work_to_be_done_is_found(word: str) -> None:
    assert unfinished("reader.py", f"x = 1\n# {word}: later\n") == [f"reader.py:2 {word}"]
    assert unfinished("reader.py", f"{word}s in a word are none, {word.lower()} neither") == []


@pytest.mark.parametrize("text", ["import sqlite3", "from requests import get", "def late():\n    import httpx.client"])
def test_an_unwanted_library_is_found(text: str) -> None:
    assert len(unwanted_imports([plant("headwater.store.sqlite.database", text)])) == 1
    assert unwanted_imports([plant("headwater.client.remote", "import httpx2, apsw")]) == []


def test_a_file_that_reads_annotations_early_is_found() -> None:
    late = '"""Text."""\n\nfrom __future__ import annotations\n\nimport os\n'
    assert without_late_annotations([plant("a", late), plant("b", '"""Only text."""'), plant("c", "")]) == []
    assert without_late_annotations([plant("a", "import os")]) == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://host/simple",
        "-e .",
        "headwater @ file:///src",
        "apsw==3.54",
        "--find-links wheels",
    ],
)
def test_a_lock_line_without_a_hash_or_with_a_place_is_found(line: str) -> None:
    assert strange_lock_lines(line) == [line]
    assert strange_lock_lines("# text\napsw==3.54 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via headwater") == []


def test_a_pin_below_what_the_project_asks_for_is_found() -> None:
    assert unmet(["apsw>=3.51.3", "Py_JWT"], {"apsw": "3.54", "py-jwt": "2"}) == []
    assert unmet(["apsw>=3.51.3", "rich"], {"apsw": "3.40"}) == ["apsw>=3.51.3", "rich"]


def test_a_dead_link_is_found() -> None:
    text = "[a](README.md) [b](nowhere.md#part) [c](https://example.org/x.md) [d](#part)"
    assert dead_links(ROOT / "CHANGELOG.md", text) == ["nowhere.md#part"]


def text_files() -> Iterator[Path]:
    """Every file of the repository that people read."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in {"", ".md", ".toml"})
    for folder in TEXT_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix not in {".pyc", ".woff2", ".png", ".gz"}:
                yield path


def read(path: Path) -> str:
    """The file's text; bytes that are no text are passed over."""
    return path.read_text(encoding="utf-8", errors="replace")


def unfinished(name: str, text: str) -> list[str]:
    """Words by which authors mark what they left undone, with their lines."""
    return [
        f"{name}:{number} {found[1]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for found in UNFINISHED.finditer(line)
    ]


def unwanted_imports(modules: Iterable[Module]) -> list[str]:
    """Imports of libraries that another one was chosen over, with the reason."""
    return [
        f"{module.name}:{found.line} imports {library}: {UNWANTED_LIBRARIES[library]}"
        for module in modules
        for found in imports(module)
        if (library := found.target.partition(".")[0]) in UNWANTED_LIBRARIES
    ]


def without_late_annotations(modules: Iterable[Module]) -> list[str]:
    """Modules with code whose first statement is not the future import."""
    broken = []
    for module in modules:
        body = module.tree.body[ast.get_docstring(module.tree) is not None :]
        first = body[0] if body else None
        if first is not None and not (isinstance(first, ast.ImportFrom) and first.module == "__future__"):
            broken.append(module.name)
    return broken


def lock(name: str) -> str:
    """The text of one of the two locks."""
    return read(ROOT / "requirements" / f"{name}.lock")


def strange_lock_lines(text: str) -> list[str]:
    """Lines that are neither a pinned version followed by hashes, a hash, nor a comment."""
    return [line for line in text.splitlines() if LOCK_LINE.fullmatch(line) is None]


def pins(text: str) -> dict[str, str]:
    """The version of each package in a lock."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", text, re.MULTILINE))


def unmet(needed: Iterable[str], pinned: dict[str, str]) -> list[str]:
    """Requirements that the pinned versions do not meet."""
    requirements = [(text, Requirement(text)) for text in needed]
    return [
        text
        for text, requirement in requirements
        if pinned.get(canonicalize_name(requirement.name), "") not in requirement.specifier
        or canonicalize_name(requirement.name) not in pinned
    ]


def dead_links(page: Path, text: str) -> list[str]:
    """Links of a page to files that are not there; addresses elsewhere are not followed."""
    return [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", text)
        if not re.match(r"[a-z]+:|#", link) and not (page.parent / link.partition("#")[0]).exists()
    ]

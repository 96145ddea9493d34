"""The package's version has one value."""

from __future__ import annotations

import tomllib
from pathlib import Path

import headwater

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_package_and_its_project_file_name_the_same_version() -> None:
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert headwater.__version__ == declared

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headwater.base.descriptors import opened


def test_a_descriptor_is_closed_at_the_end_and_after_a_failure(tmp_path: Path) -> None:
    found = []

    def fail() -> None:
        with opened(tmp_path) as descriptor:
            found.append(descriptor)
            os.fsync(descriptor)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(found[0])


def test_a_new_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
        os.write(descriptor, b"x")
    assert path.stat().st_mode & 0o077 == 0

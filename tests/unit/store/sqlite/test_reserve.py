"""The reserve on volumes of several sizes: it can be created again once the disk is as free as it was."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

import pytest

from headwater.base.settings.field import MIB
from headwater.store.sqlite import reserve as reserves
from headwater.store.sqlite.reserve import Reserve

pytestmark = pytest.mark.sqlite_only


class Usage(NamedTuple):
    free: int


class Volume:
    """A volume with this many bytes for the reserve and for all else."""

    def __init__(self, room_bytes: int, database: Path) -> None:
        self.room_bytes = room_bytes
        self.path = database.with_suffix(".reserve")
        self.marker = reserves.full_marker(database)

    def reserve_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def allocate(self, path: Path, size_bytes: int) -> None:
        if size_bytes > self.room_bytes:
            raise OSError(errno.ENOSPC, "no room")
        with path.open("ab") as file:
            file.truncate(size_bytes)

    def usage(self, _path: Path) -> Usage:
        return Usage(self.room_bytes - self.reserve_bytes())


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_mib: int) -> Volume:
    made = Volume(room_mib * MIB, tmp_path / "headwater.sqlite")
    monkeypatch.setattr(reserves, "allocate", made.allocate)
    monkeypatch.setattr("shutil.disk_usage", made.usage)
    monkeypatch.setattr(reserves, "TRY_SECONDS", 0.0)
    return made


@pytest.mark.parametrize(("room_mib", "reserve_mib"), [(1000, 64), (128, 64), (127, 32), (70, 32), (24, 8), (1, 1)])
def test_the_reserve_takes_at_most_half_of_the_room(volume: Volume, tmp_path: Path, reserve_mib: int) -> None:
    Reserve(tmp_path / "headwater.sqlite", 64 * MIB)
    assert volume.reserve_bytes() == reserve_mib * MIB


@pytest.mark.parametrize("room_mib", [24, 70, 79, 1000])
def test_a_reserve_that_was_given_up_comes_back_when_a_quarter_of_the_volume_stays_in_use(
    volume: Volume, tmp_path: Path
) -> None:
    reserve = Reserve(tmp_path / "headwater.sqlite", 64 * MIB)
    assert reserve.give_up()
    volume.room_bytes = volume.room_bytes * 3 // 4
    assert reserve.missing_bytes() == 0
    assert not volume.marker.exists()


@pytest.mark.parametrize("room_mib", [100])
def test_a_whole_reserve_is_kept_when_the_disk_is_nearly_full_at_a_start(volume: Volume, tmp_path: Path) -> None:
    volume.allocate(volume.path, 64 * MIB)
    Reserve(tmp_path / "headwater.sqlite", 64 * MIB)
    assert volume.reserve_bytes() == 64 * MIB

"""Packs against the disk itself: ratios of floors and packs, measured in the same run on fresh files.

Run: ``python -m benchmarks.packs [FOLDER]``. A ratio of 1 means as fast as writing and syncing, or reading, the
same bytes with plain system calls. Every figure is the median of the rounds, floors and packs in turn; the
processor time shows how far a busy machine has stretched the rest.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median

from headwater.base.chunking import KIB, MIB, Chunker
from headwater.base.clock import monotonic_seconds
from headwater.base.settings.table import DatabaseSettings
from headwater.store.migrate import migrate
from headwater.store.packs.chunks import register
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_each, read_range
from headwater.store.packs.writer import PackWriter
from headwater.store.sqlite.database import SqliteDatabase

ROUNDS = 5
FILES = 10_000
SINGLE_FILES = 200
STREAM_BYTES = 512 * MIB
BLOCK_BYTES = 32 * MIB
WARM_BYTES = 1024 * MIB


class Bench:
    """A folder that is emptied before each measurement, and the medians."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def seconds(self, function: Callable[[], object]) -> tuple[float, float]:
        """The seconds and the processor time of a function on an empty folder with warm memory."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        # Memory that was idle for a while is slow to touch, which would slow the first measurement.
        bytearray(b"w") * WARM_BYTES
        gc.collect()
        os.sync()
        used, begun = sum(os.times()[:2]), monotonic_seconds()
        function()
        return monotonic_seconds() - begun, sum(os.times()[:2]) - used

    def compare(self, name: str, floor: Callable[[], object], *measured: tuple[str, Callable[[], object]]) -> None:
        """Prints the ratios of the measurements to their floor."""
        times: dict[str, list[tuple[float, float]]] = {"floor": []}
        for _ in range(ROUNDS):
            times["floor"].append(self.seconds(floor))
            for label, function in measured:
                times.setdefault(label, []).append(self.seconds(function))
        low, low_cpu = (median(column) * 1000 for column in zip(*times["floor"], strict=True))
        for label, _ in measured:
            ours, cpu = (median(column) * 1000 for column in zip(*times[label], strict=True))
            print(f"{name:34} {label:34} {low:7.0f} {ours:7.0f} {low / ours:6.2f} {low_cpu:7.0f} {cpu:7.0f}")


def small_files() -> list[bytes]:
    """The contents of 10,000 files of 1 to 20 KiB."""
    sizes = random.Random(1)
    return [os.urandom(sizes.randint(KIB, 20 * KIB)) for _ in range(FILES)]


def write_once(path: Path, content: bytes) -> None:
    """The floor: the same bytes, written in pieces of 1 MiB and synced once, the folder too."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    view = memoryview(content)
    for at in range(0, len(view), MIB):
        os.write(descriptor, view[at : at + MIB])
    os.fsync(descriptor)
    os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def read_once(path: Path, piece_bytes: int) -> None:
    """The floor of reading: the file from one end to the other."""
    descriptor = os.open(path, os.O_RDONLY)
    at = 0
    while piece := os.pread(descriptor, piece_bytes, at):
        at += len(piece)
    os.close(descriptor)


def exhaust(pieces: Iterator[object]) -> None:
    """Reads all pieces."""
    for _ in pieces:
        pass


def pack_files(folder: Path, files: list[bytes]) -> tuple[PackFolder, list[ChunkRef]]:
    """The files in one durable pack."""
    packs = PackFolder(folder / "packs")
    with PackWriter(packs, "org_bench") as writer:
        refs = [writer.append(content) for content in files]
        writer.close()
    return packs, refs


def pack_and_register(folder: Path, database: SqliteDatabase, files: list[bytes], organisation: str) -> None:
    """The files in one durable pack, and its rows in a durable database."""
    with PackWriter(PackFolder(folder / "packs"), organisation) as writer:
        for content in files:
            writer.append(content)
        written = writer.close()
    database.write_now(lambda tx: register(tx, written))


def bench_small_files(bench: Bench) -> None:
    """10,000 small files into a pack, and back."""
    files = small_files()
    whole = b"".join(files)
    retained = bench.folder.with_name("retained")
    retained.mkdir()
    database = SqliteDatabase(retained / "bench.db", DatabaseSettings(reserve_file_bytes=0))
    migrate(database)
    # Another organisation each time, so that every round has chunks that the database does not know.
    rounds = count()
    bench.compare(
        f"write {FILES} files, {len(whole) // MIB} MiB",
        lambda: write_once(bench.folder / "floor", whole),
        ("hashed, in one pack, synced", lambda: pack_files(bench.folder, files)),
        ("… and registered in SQLite", lambda: pack_and_register(bench.folder, database, files, f"org_{next(rounds)}")),
    )
    database.close()
    packs, refs = pack_files(retained, files)
    path = next(path for path in (retained / "packs").rglob("*") if path.is_file())
    bench.compare(
        f"read {FILES} files",
        lambda: read_once(path, MIB),
        ("one by one", lambda: exhaust(read_each(packs, refs))),
        ("as one range", lambda: exhaust(read_range(packs, refs))),
    )
    shutil.rmtree(retained)


def bench_single_files(bench: Bench) -> None:
    """Requests of one 10 KiB file each, one after another."""
    contents = [os.urandom(10 * KIB) for _ in range(SINGLE_FILES)]

    def floor() -> None:
        for number, content in enumerate(contents):
            write_once(bench.folder / f"{number}", content)

    def single() -> None:
        packs = PackFolder(bench.folder / "packs")
        for content in contents:
            with PackWriter(packs, "org_bench") as writer:
                writer.append(content)
                writer.close()

    bench.compare(f"{SINGLE_FILES} requests of one 10 KiB file", floor, ("a pack each", single))


def stream(block: bytes) -> Iterator[bytes]:
    """512 MiB in pieces of 64 KiB: one random block, numbered, so that no chunk occurs twice."""
    size_bytes = 64 * KIB - 8
    for number in range(STREAM_BYTES // (64 * KIB)):
        at = number * size_bytes % (len(block) - size_bytes)
        yield number.to_bytes(8, "big") + block[at : at + size_bytes]


def pack_stream(folder: Path, block: bytes) -> None:
    """A stream of unknown length, cut by its content, into a durable pack."""
    chunker = Chunker()
    with PackWriter(PackFolder(folder / "packs"), "org_bench") as writer:
        for piece in stream(block):
            for chunk in chunker.feed(piece):
                writer.append(chunk)
        for chunk in chunker.finish():
            writer.append(chunk)
        writer.close()


def floor_stream(folder: Path, block: bytes) -> None:
    """The same stream, written and synced."""
    descriptor = os.open(folder / "floor", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    for piece in stream(block):
        os.write(descriptor, piece)
    os.fsync(descriptor)
    os.close(descriptor)


def bench_stream(bench: Bench) -> None:
    """Measures one large stream, and its memory in a process of its own."""
    block = os.urandom(BLOCK_BYTES)
    bench.compare(
        f"write a stream of {STREAM_BYTES // MIB} MiB",
        lambda: floor_stream(bench.folder, block),
        ("cut, hashed, in one pack, synced", lambda: pack_stream(bench.folder, block)),
    )
    command = [sys.executable, "-m", "benchmarks.packs", "--memory", str(bench.folder)]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        print(line)


def print_memory(folder: Path) -> None:
    """Prints the peak memory of this process before and after the stream."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    block = os.urandom(BLOCK_BYTES)
    before = peak_bytes()
    pack_stream(folder, block)
    print(f"peak memory of that stream: {(peak_bytes() - before) / MIB:.1f} MiB over the {before // MIB} MiB before it")


def peak_bytes() -> int:
    """The peak memory of this process, as Linux reports it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * KIB


def main() -> None:
    """Measures in the named folder, or in a temporary one."""
    if sys.argv[1:2] == ["--memory"]:
        print_memory(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as temporary:
        bench = Bench(Path(temporary) / "work")
        print(f"{'milliseconds':34} {'':34} {'floor':>7} {'packs':>7} {'ratio':>6} {'cpu':>7} {'cpu':>7}")
        bench_small_files(bench)
        bench_single_files(bench)
        bench_stream(bench)


if __name__ == "__main__":
    main()

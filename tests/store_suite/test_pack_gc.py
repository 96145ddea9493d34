from __future__ import annotations

import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from headwater.base.clock import SECOND_US, now_us
from headwater.base.errors import Damaged, QuotaExceeded
from headwater.store.database import Database, Transaction
from headwater.store.packs import folder as pack_folder
from headwater.store.packs import gc as pack_gc
from headwater.store.packs.chunks import RENEW_US, claim, locate, register
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import ChunkRef, pack_name
from headwater.store.packs.gc import Swept, marked_by, packs_in_use, sweep
from headwater.store.packs.gc_plan import plan_sweep
from headwater.store.packs.reader import read_each
from headwater.store.packs.writer import PackWriter, Written
from tests.support.clock import MovableClock

HOUR_SECONDS = 3600
GRACE_US = 2 * HOUR_SECONDS * SECOND_US


class Store:
    """A database, a folder of packs, and the chunks that something refers to."""

    def __init__(self, database: Database, folder: PackFolder, clock: MovableClock) -> None:
        self.database = database
        self.folder = folder
        self.clock = clock
        self.live: dict[str, set[bytes]] = {}

    def upload(self, contents: list[bytes], organisation: str = "org_a", *, live: bool = True) -> tuple[ChunkRef, ...]:
        written = self.write(contents, organisation)
        self.database.write_now(lambda tx: register(tx, written))
        if live:
            self.live.setdefault(organisation, set()).update(ref.chunk for ref in written.refs)
        return written.refs

    def write(self, contents: list[bytes], organisation: str = "org_a") -> Written:
        with PackWriter(self.folder, organisation) as writer:
            for content in contents:
                writer.append(content)
            return writer.close()

    def forget(self, refs: Sequence[ChunkRef], organisation: str = "org_a") -> None:
        self.live[organisation] -= {ref.chunk for ref in refs}

    def marks(self, _tx: Transaction, organisation: str, ids: Sequence[bytes]) -> set[bytes]:
        return self.live.get(organisation, set()) & set(ids)

    def sweep(self) -> Swept:
        """Plan a sweep, then run it: it does what the plan states."""
        planned = self.plan()
        swept = sweep(self.database, self.folder, self.marks, grace_us=GRACE_US)
        assert named_packs(swept) == named_packs(planned)
        return swept

    def plan(self) -> Swept:
        return plan_sweep(self.database, self.folder, self.marks, grace_us=GRACE_US)

    def sweep_later(self, hours: int = 3) -> Swept:
        self.clock.advance(hours * HOUR_SECONDS)
        return self.sweep()

    def stored(self) -> set[int]:
        return {stored.pack for stored in self.folder.listing()}

    def contents(self, refs: Sequence[ChunkRef], organisation: str = "org_a") -> list[bytes]:
        places = self.database.read_now(lambda tx: locate(tx, organisation, [ref.chunk for ref in refs]))
        return [bytes(view) for view in read_each(self.folder, [places[ref.chunk] for ref in refs])]


def named_packs(swept: Swept) -> Swept:
    """The same without the reasons of damage: a plan finds it by reading, a sweep by copying."""
    return replace(swept, damaged=[text.partition(":")[0] for text in swept.damaged])


@pytest.fixture
def store(database: Database, tmp_path: Path, clock: MovableClock) -> Store:
    # The files of packs carry the system's time.
    clock.at_us = now_us()
    return Store(database, PackFolder(tmp_path / "packs"), clock)


def make(count: int, size_bytes: int = 100, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(size_bytes) for _ in range(count)]


def test_live_chunks_are_left_alone(store: Store) -> None:
    contents = make(10)
    refs = store.upload(contents)
    assert store.sweep_later(100) == Swept()
    assert store.contents(refs) == contents


def test_an_unreferenced_chunk_goes_only_after_the_grace(store: Store) -> None:
    refs = store.upload(make(10), live=False)
    assert store.sweep_later(1) == Swept()
    swept = store.sweep_later(2)
    assert (swept.dropped_chunks, swept.dropped_bytes, swept.retired_packs) == (10, 1000, 1)
    assert store.database.read_now(lambda tx: locate(tx, "org_a", [ref.chunk for ref in refs])) == {}


def test_an_empty_packs_file_goes_after_the_linger_so_that_readings_under_way_can_end(store: Store) -> None:
    contents = make(10)
    refs = store.upload(contents, live=False)
    store.sweep_later()
    assert [bytes(view) for view in read_each(store.folder, refs)] == contents
    swept = store.sweep_later(2)
    assert (swept.deleted_packs, swept.deleted_orphans) == (1, 0)
    assert swept.freed_bytes > 1000
    assert store.stored() == set()
    assert store.database.read_now(lambda tx: tx.rows("SELECT * FROM packs")) == []
    with pytest.raises(Damaged):
        list(read_each(store.folder, refs))


def test_only_what_is_unreferenced_goes_when_pages_mix_both(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_gc, "_PAGE", 7)
    contents = make(100)
    refs = store.upload(contents)
    store.forget(refs[::3])
    assert store.sweep_later().dropped_chunks == len(refs[::3])
    kept = [ref for at, ref in enumerate(refs) if at % 3]
    assert store.contents(kept) == [content for at, content in enumerate(contents) if at % 3]
    assert store.database.read_now(lambda tx: locate(tx, "org_a", [ref.chunk for ref in refs])).keys() == {
        ref.chunk for ref in kept
    }


def test_a_claimed_chunk_is_young_again(store: Store) -> None:
    refs = store.upload(make(4), live=False)
    store.clock.advance(3 * HOUR_SECONDS)
    claimed = [ref.chunk for ref in refs[:2]]
    store.database.write_now(lambda tx: claim(tx, "org_a", claimed))
    assert store.sweep().dropped_chunks == 2
    assert store.database.read_now(lambda tx: locate(tx, "org_a", [ref.chunk for ref in refs])).keys() == set(claimed)


def test_a_chunk_that_is_sent_again_is_young_again(store: Store) -> None:
    contents = make(4)
    refs = store.upload(contents, live=False)
    store.clock.advance(3 * HOUR_SECONDS)
    store.upload(contents[:1], live=False)
    assert store.sweep().dropped_chunks == 3
    assert store.contents(refs[:1]) == contents[:1]


def test_a_claim_between_the_look_and_the_drop_saves_the_chunk(store: Store) -> None:
    refs = store.upload(make(2), live=False)
    store.clock.advance(3 * HOUR_SECONDS)
    looks = 0

    def marks(_tx: Transaction, _organisation: str, _ids: Sequence[bytes]) -> set[bytes]:
        nonlocal looks
        looks += 1
        if looks == 1:
            claim_now()
        return set()

    def claim_now() -> None:
        store.database.write_now(lambda tx: claim(tx, "org_a", [refs[0].chunk]))

    swept = sweep(store.database, store.folder, marks, grace_us=GRACE_US)
    assert swept.dropped_chunks == 1
    assert store.database.read_now(lambda tx: locate(tx, "org_a", [ref.chunk for ref in refs])).keys() == {
        refs[0].chunk
    }


def test_a_claim_that_commits_while_the_drop_waits_for_it_saves_the_chunk(store: Store) -> None:
    refs = store.upload(make(2), live=False)
    store.clock.advance(3 * HOUR_SECONDS)
    claimed, seen = Event(), Event()

    def hold_the_claim(tx: Transaction) -> None:
        claim(tx, "org_a", [refs[0].chunk])
        claimed.set()
        # Until the sweep has looked, and a little longer, so that on PostgreSQL its drop waits for this row.
        seen.wait(10)
        Event().wait(0.2)

    def marks(_tx: Transaction, _organisation: str, _ids: Sequence[bytes]) -> set[bytes]:
        seen.set()
        return set()

    with ThreadPoolExecutor(1) as pool:
        # Another feed is another writer, where there are several.
        claiming = pool.submit(store.database.write_now, hold_the_claim, feed=1)
        assert claimed.wait(10)
        swept = sweep(store.database, store.folder, marks, grace_us=GRACE_US)
        claiming.result()
    assert store.database.read_now(lambda tx: locate(tx, "org_a", [ref.chunk for ref in refs])).keys() == {
        refs[0].chunk
    }
    assert swept.retired_packs == 0


def test_a_pack_more_than_half_dead_is_rewritten_and_its_content_stays(store: Store) -> None:
    contents = make(100)
    refs = store.upload(contents)
    store.forget(refs[40:])
    swept = store.sweep_later()
    assert (swept.rewritten_packs, swept.moved_bytes, swept.retired_packs) == (1, 4000, 1)
    assert store.contents(refs[:40]) == contents[:40]
    places = store.database.read_now(lambda tx: locate(tx, "org_a", [refs[0].chunk]))
    assert places[refs[0].chunk].pack != refs[0].pack
    store.sweep_later(2)
    assert store.stored() == {places[refs[0].chunk].pack}
    assert store.contents(refs[:40]) == contents[:40]
    assert store.sweep_later(100) == Swept()


def test_much_to_rewrite_is_copied_batch_by_batch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_gc, "REWRITE_BYTES", 2000)
    contents = [make(100, seed=seed) for seed in range(5)]
    refs = [store.upload(content) for content in contents]
    for pack in refs:
        store.forget(pack[10:])
    assert store.sweep_later().rewritten_packs == 5
    # Batches of 2,000 bytes: 1,000 bytes of each of two, two and one.
    packs = store.database.read_now(lambda tx: packs_in_use(tx, "org_a", tx.now_us + 1))
    assert sorted(pack.live_chunks for pack in packs) == [10, 20, 20]
    assert [store.contents(pack[:10]) for pack in refs] == [content[:10] for content in contents]


def test_a_plan_of_drops_copies_and_orphans_is_what_the_sweep_then_does(store: Store) -> None:
    store.upload(make(5, seed=1), live=False)
    store.clock.advance(3 * HOUR_SECONDS)
    store.sweep()
    sparse = store.upload(make(100, seed=2))
    store.forget(sparse[30:])
    store.upload(make(7, seed=3), "org_b", live=False)
    store.write(make(3, seed=4))
    store.clock.advance(3 * HOUR_SECONDS)
    planned = store.plan()
    assert planned == store.plan() == store.sweep()
    assert (planned.dropped_chunks, planned.dropped_bytes) == (77, 7700)
    assert (planned.rewritten_packs, planned.moved_bytes, planned.retired_packs) == (1, 3000, 2)
    assert (planned.deleted_packs, planned.deleted_orphans) == (1, 1)


def test_a_pack_half_alive_is_left(store: Store) -> None:
    refs = store.upload(make(100))
    store.forget(refs[50:])
    swept = store.sweep_later()
    assert (swept.dropped_chunks, swept.rewritten_packs) == (50, 0)


def test_a_crowd_of_small_packs_becomes_one(store: Store) -> None:
    contents = make(pack_gc.CROWD_PACKS)
    refs = [store.upload([content])[0] for content in contents[:-1]]
    assert store.sweep_later().rewritten_packs == 0
    refs += store.upload(contents[-1:])
    assert store.sweep_later().rewritten_packs == pack_gc.CROWD_PACKS
    store.sweep_later()
    assert len(store.stored()) == 1
    assert store.contents(refs) == contents


def test_no_organisations_chunks_come_into_anothers_pack(store: Store) -> None:
    contents = make(pack_gc.CROWD_PACKS)
    ours = [store.upload([content])[0] for content in contents]
    theirs = [store.upload([content], "org_b")[0] for content in contents]
    store.sweep_later()
    store.sweep_later()
    packs = store.database.read_now(lambda tx: tx.rows("SELECT DISTINCT organisation, pack FROM chunks"))
    assert len(packs) == len({pack for _, pack in packs}) == 2
    assert store.contents(ours) == contents == store.contents(theirs, "org_b")
    store.forget(theirs, "org_b")
    store.sweep_later()
    assert store.contents(ours) == contents


def test_a_file_that_no_row_names_goes_after_the_grace(store: Store) -> None:
    kept = store.upload(make(3))
    orphan = store.write(make(3, seed=2))
    assert store.sweep_later(1).deleted_orphans == 0
    assert store.stored() == {kept[0].pack, orphan.packs[0].pack}
    swept = store.sweep_later(2)
    assert (swept.deleted_orphans, swept.freed_bytes) == (1, orphan.packs[0].size_bytes)
    assert store.stored() == {kept[0].pack}


def test_a_torn_file_that_a_crash_left_goes_too(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "packs" / pack_name(123456789)
    path.write_bytes(b"headwater-pack-1 and then the power")
    assert store.sweep_later().deleted_orphans == 1
    assert not path.exists()


def test_a_sweep_that_dies_between_any_two_steps_loses_nothing_and_the_next_one_ends_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = make(100)
    refs = store.upload(contents)
    store.forget(refs[20:])
    monkeypatch.setattr(pack_gc, "_PAGE", 9)
    real_write, real_delete = store.database.write_now, store.folder.delete
    left = 0

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("killed")

    def write_now(function: object, **options: int) -> object:
        step()
        return real_write(function, **options)  # type: ignore[arg-type]

    def delete(pack: int) -> None:
        step()
        real_delete(pack)

    monkeypatch.setattr(store.database, "write_now", write_now)
    monkeypatch.setattr(store.folder, "delete", delete)
    deaths = 0
    for steps in range(40):
        left = steps % 5
        try:
            store.sweep_later(3)
        except RuntimeError:
            deaths += 1
        assert store.contents(refs[:20]) == contents[:20]
    left = 1000
    store.sweep_later()
    store.sweep_later()
    assert deaths > 5
    packs = store.database.read_now(lambda tx: packs_in_use(tx, "org_a", tx.now_us))
    assert store.stored() == {pack.pack for pack in packs}
    assert all(pack.live_bytes * 2 >= pack.content_bytes for pack in packs)
    assert store.contents(refs[:20]) == contents[:20]


def test_a_damaged_pack_is_reported_and_never_copied(store: Store, tmp_path: Path) -> None:
    contents = make(100)
    refs = store.upload(contents)
    store.forget(refs[10:])
    path = tmp_path / "packs" / pack_name(refs[0].pack)
    content = bytearray(path.read_bytes())
    content[refs[5].start_bytes] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, store.clock.at_us * 1000))
    swept = store.sweep_later()
    assert (swept.rewritten_packs, swept.retired_packs) == (0, 0)
    assert len(swept.damaged) == 1
    assert pack_name(refs[0].pack) in swept.damaged[0]
    places = store.database.read_now(lambda tx: locate(tx, "org_a", [refs[0].chunk]))
    assert places[refs[0].chunk] == refs[0]
    store.sweep_later()
    assert path.exists()


def test_a_pack_whose_tail_is_lost_is_still_rewritten_whole(store: Store, tmp_path: Path) -> None:
    contents = make(100)
    refs = store.upload(contents)
    store.forget(refs[10:])
    path = tmp_path / "packs" / pack_name(refs[0].pack)
    path.write_bytes(path.read_bytes()[:-20])
    swept = store.sweep_later()
    assert (swept.rewritten_packs, swept.damaged) == (1, [])
    assert store.contents(refs[:10]) == contents[:10]


def test_a_full_disk_stops_the_copying_but_not_the_freeing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = make(100)
    refs = store.upload(contents)
    store.forget(refs[10:])
    orphan = store.write(make(3, seed=2)).packs[0].pack

    def full(_descriptor: int, _piece: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack_folder, "_write", full)
    with pytest.raises(QuotaExceeded):
        store.sweep_later()
    assert orphan not in store.stored()
    assert store.contents(refs[:10]) == contents[:10]


def test_what_tables_refer_to_is_kept(store: Store) -> None:
    contents = make(400)
    refs = store.upload(contents, live=False)
    theirs = store.upload(contents[:50], "org_b", live=False)
    versions = [(1, "ver_1", at, "org_a", ref.chunk, ref.length_bytes) for at, ref in enumerate(refs[:300])]
    parts = [("upl_1", 0, at, "org_a", ref.chunk, ref.length_bytes) for at, ref in enumerate(refs[290:310])]

    def refer(tx: Transaction) -> None:
        tx.run_many("INSERT INTO version_chunks VALUES (?, ?, ?, ?, ?, ?)", versions)
        tx.run_many("INSERT INTO upload_chunks VALUES (?, ?, ?, ?, ?, ?)", parts)

    store.database.write_now(refer)
    store.clock.advance(3 * HOUR_SECONDS)
    swept = sweep(store.database, store.folder, marked_by("version_chunks", "upload_chunks"), grace_us=GRACE_US)
    assert swept.dropped_chunks == 90 + len(theirs)
    assert store.contents(refs[:310]) == contents[:310]


def test_a_grace_shorter_than_claims_renew_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="grace"):
        sweep(store.database, store.folder, store.marks, grace_us=RENEW_US)

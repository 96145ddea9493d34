from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from headwater.base.errors import Damaged, Unavailable
from headwater.store.packs import bucket as pack_bucket
from headwater.store.packs.bucket import PackBucket
from headwater.store.packs.format import pack_name, read_tail
from headwater.store.packs.reader import read_each, read_outcomes, read_range
from headwater.store.packs.writer import PackWriter, discard


@pytest.fixture(params=["memory", "local"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    return LocalStore(tmp_path / "bucket", mkdir=True)


@pytest.fixture
def bucket(objects: ObjectStore) -> PackBucket:
    return PackBucket(objects)


def make(count: int, size_bytes: int) -> list[bytes]:
    source = random.Random(5)
    return [source.randbytes(size_bytes) for _ in range(count)]


def test_what_was_written_is_read_back(bucket: PackBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small parts make the upload a multipart one.
    monkeypatch.setattr(pack_bucket, "PART_BYTES", 64 * 1024)
    contents = make(200, 3000) + make(2, 300_000)
    with PackWriter(bucket, "org_a") as writer:
        refs = [writer.append(content) for content in contents]
        written = writer.close()
    assert b"".join(read_range(bucket, refs)) == b"".join(contents)
    assert b"".join(read_range(bucket, refs, 2999, 700_001)) == b"".join(contents)[2999:700_001]
    assert [bytes(view) for view in read_each(bucket, refs)] == contents
    (pack,) = written.packs
    assert read_tail(pack.pack, bucket.open(pack.pack)) == ("org_a", refs)
    assert [(stored.pack, stored.size_bytes) for stored in bucket.listing()] == [(pack.pack, pack.size_bytes)]


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damage_of_an_object_is_found_for_each_chunk_alone(bucket: PackBucket, objects: ObjectStore, harm: str) -> None:
    contents = make(5, 3000)
    with PackWriter(bucket, "org_a") as writer:
        refs = [writer.append(content) for content in contents]
        writer.close()
    name = pack_name(refs[0].pack)
    stored = bytearray(obstore.get(objects, name).bytes())
    stored[refs[2].start_bytes + 10] ^= 1
    if harm == "gone":
        obstore.delete(objects, name)
    else:
        obstore.put(objects, name, bytes(stored if harm == "flip" else stored[: refs[2].start_bytes + 10]))
    whole = [None if isinstance(each, Damaged) else bytes(each) for each in read_outcomes(bucket, refs)]
    rest = contents[3:] if harm == "flip" else [None, None]
    assert whole == ([None] * 5 if harm == "gone" else [*contents[:2], None, *rest])


def test_an_object_is_dated_in_microseconds(bucket: PackBucket) -> None:
    with PackWriter(bucket, "org_a") as writer:
        writer.append(b"content")
        writer.close()
    (stored,) = bucket.listing()
    # Between 2020 and 2100.
    assert 1_577_836_800_000_000 < stored.modified_us < 4_102_444_800_000_000


@pytest.mark.parametrize("parts", [1, 3])
def test_a_writer_that_is_not_closed_leaves_no_object(
    bucket: PackBucket, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr(pack_bucket, "PART_BYTES", 1024 * 1024)
    with PackWriter(bucket, "org_a") as writer:
        for content in make(parts, 1_000_000):
            writer.append(content)
    assert list(bucket.listing()) == []


def test_a_deleted_pack_is_missing_and_deleting_it_again_is_no_error(bucket: PackBucket) -> None:
    with PackWriter(bucket, "org_a") as writer:
        ref = writer.append(b"content")
        written = writer.close()
    opened = bucket.open(ref.pack)
    discard(bucket, written)
    discard(bucket, written)
    assert list(bucket.listing()) == []
    with pytest.raises(Damaged, match="missing"):
        bucket.open(ref.pack)
    with pytest.raises(Damaged, match="missing"):
        opened.read(0, 5)


def test_reading_past_the_end_is_damage(bucket: PackBucket) -> None:
    with PackWriter(bucket, "org_a") as writer:
        ref = writer.append(b"content")
        (pack,) = writer.close().packs
    with pytest.raises(Damaged, match="shorter"):
        bucket.open(ref.pack).read(pack.size_bytes - 3, 4)


def test_objects_that_are_no_packs_are_left_out(objects: ObjectStore, bucket: PackBucket) -> None:
    objects.put("notes.txt", b"mine")
    objects.put(pack_name(7) + ".bak", b"mine")
    assert list(bucket.listing()) == []


def test_a_store_that_does_not_answer_is_a_passing_trouble(tmp_path: Path) -> None:
    objects = LocalStore(tmp_path / "bucket", mkdir=True)
    bucket = PackBucket(objects)
    # A file where the folder of packs should be: every call fails.
    for number in range(128):
        (tmp_path / "bucket" / f"{number:02x}").write_bytes(b"")
    with PackWriter(bucket, "org_a") as writer:
        writer.append(b"content")
        with pytest.raises(Unavailable):
            writer.close()


def test_every_call_to_a_store_that_is_out_of_reach_says_so() -> None:
    # Nothing listens on port 1.
    objects = S3Store(
        "bucket",
        endpoint="http://127.0.0.1:1",
        region="nowhere",
        access_key_id="id",
        secret_access_key="secret",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    bucket = PackBucket(objects)
    sink = bucket.create()
    sink.write(b"content")
    source = pack_bucket._ObjectSource(objects, 7, 100)
    calls: list[Callable[[], object]] = [
        sink.finish,
        lambda: bucket.open(7),
        lambda: bucket.delete(7),
        lambda: list(bucket.listing()),
        lambda: source.read(0, 10),
    ]
    for call in calls:
        with pytest.raises(Unavailable) as failure:
            call()
        assert failure.value.retry_after_seconds

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from headwater.contracts.files.uploads.tus_lock import UploadLocks

SOON_SECONDS = 5.0


async def pieces(*found: bytes, then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for piece in found:
        yield piece
    if then is not None:
        await then.wait()


async def ticks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_body_is_read_piece_by_piece_to_its_end() -> None:
    async def work() -> list[bytes | None]:
        async with UploadLocks().of("upl_1") as turn:
            body = pieces(b"a", b"b")
            return [await turn.next_of(body) for _ in range(3)]

    assert asyncio.run(work()) == [b"a", b"b", None]


def test_a_later_request_ends_the_wait_of_the_one_before_and_comes_after_it() -> None:
    async def work() -> list[str]:
        locks, told, never = UploadLocks(), [], asyncio.Event()

        async def first() -> None:
            async with locks.of("upl_1") as turn:
                with pytest.raises(TimeoutError):
                    await turn.next_of(pieces(then=never))
                told.append("first kept what it had")
            told.append("first ended")

        async def second() -> None:
            async with locks.of("upl_1"):
                told.append("second writes")

        before = asyncio.ensure_future(first())
        await ticks()
        async with asyncio.timeout(SOON_SECONDS):
            await second()
            await before
        return told

    told = asyncio.run(work())
    assert told.index("first kept what it had") < told.index("second writes")
    assert sorted(told) == ["first ended", "first kept what it had", "second writes"]


def test_a_request_that_was_ended_between_two_pieces_waits_for_no_further_one() -> None:
    async def work() -> None:
        async with UploadLocks().of("upl_1") as turn:
            turn.stop()
            with pytest.raises(TimeoutError):
                await turn.next_of(pieces(then=asyncio.Event()))

    assert asyncio.run(work()) is None


def test_uploads_do_not_wait_for_each_other() -> None:
    async def work() -> bool:
        locks = UploadLocks()
        async with asyncio.timeout(SOON_SECONDS), locks.of("upl_1"), locks.of("upl_2"):
            return True

    assert asyncio.run(work())


def test_of_several_that_wait_each_gets_its_turn_alone() -> None:
    async def work() -> int:
        locks, inside, most, done = UploadLocks(), 0, 0, 0

        async def write() -> None:
            nonlocal inside, most, done
            async with locks.of("upl_1"):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1
                done += 1

        async with asyncio.timeout(SOON_SECONDS):
            await asyncio.gather(*(write() for _ in range(10)))
        assert done == 10
        assert locks._held == {}
        return most

    assert asyncio.run(work()) == 1


def test_a_request_that_failed_leaves_its_place() -> None:
    async def work() -> bool:
        locks = UploadLocks()
        with pytest.raises(ValueError, match="broken"):
            async with locks.of("upl_1"):
                raise ValueError("broken")
        async with asyncio.timeout(SOON_SECONDS), locks.of("upl_1"):
            return True

    assert asyncio.run(work())

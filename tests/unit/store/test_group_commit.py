from __future__ import annotations

import threading

import pytest

from headwater.base.errors import Unavailable
from headwater.store.group_commit import Gate


def entered(gate: Gate, count: int) -> None:
    for _ in range(count):
        gate.enter()


@pytest.mark.parametrize("limit", [1, 2, 32])
def test_as_many_writes_wait_as_the_gate_lets_in(limit: int) -> None:
    gate = Gate(limit)
    entered(gate, limit)
    with pytest.raises(Unavailable) as failure:
        gate.enter()
    assert failure.value.retry_after_seconds == 1


def test_a_write_that_was_refused_takes_no_place() -> None:
    gate = Gate(1)
    gate.enter()
    for _ in range(3):
        with pytest.raises(Unavailable):
            gate.enter()
    gate.leave(1)
    gate.enter()
    with pytest.raises(Unavailable):
        gate.enter()


def test_writes_that_leave_together_make_room_for_as_many() -> None:
    gate = Gate(4)
    entered(gate, 4)
    gate.leave(3)
    entered(gate, 3)
    with pytest.raises(Unavailable):
        gate.enter()


def test_a_gate_of_no_places_lets_no_write_in() -> None:
    with pytest.raises(Unavailable):
        Gate(0).enter()


def test_threads_that_enter_at_once_never_exceed_the_limit() -> None:
    gate, let_in = Gate(50), []
    begin = threading.Barrier(8)

    def enter() -> None:
        begin.wait()
        for _ in range(20):
            try:
                gate.enter()
            except Unavailable:
                continue
            let_in.append(1)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == 50

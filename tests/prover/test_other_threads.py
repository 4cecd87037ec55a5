"""Other threads are woken for work that is worth it, by one caller at a time, and a busy machine's wakes are dear."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from prover import other_threads as module
from prover.other_threads import OtherThreads


@pytest.fixture
def wakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What each measurement of a wake finds, in microseconds, the last one again and again; of two threads, whatever this machine has."""
    costs = [50.0]
    monkeypatch.setattr(module, "get_num_threads", lambda: 2)
    monkeypatch.setattr(module, "_measured_wake_us", lambda: costs.pop(0) if len(costs) > 1 else costs[0])
    yield costs


def test_work_is_worth_several_wakes(wakes: list[float]) -> None:
    threads = OtherThreads()
    assert not threads.take(799.0)
    assert threads.take(800.0)
    threads.give_back()


def test_short_work_stays_where_it_is_though_a_wake_costs_nothing(wakes: list[float]) -> None:
    wakes[:] = [0.0]
    threads = OtherThreads()
    assert not threads.take(19.0)
    assert threads.take(20.0)


def test_one_caller_has_them(wakes: list[float]) -> None:
    threads, taken = OtherThreads(), list[bool]()
    assert threads.take(1e6)
    other = threading.Thread(target=lambda: taken.append(threads.take(1e6)))
    other.start()
    other.join()
    assert taken == [False]
    threads.give_back()
    assert threads.take(1e6)


def test_a_wake_is_measured_again(wakes: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    wakes[:] = [50.0, 5_000.0]
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    threads = OtherThreads()
    for moment, pays in ((100.0, True), (109.0, True), (110.0, False)):
        now[0] = moment
        assert threads.take(1_000.0) is pays
        if pays:
            threads.give_back()


def test_what_fails_while_it_is_measured_leaves_nothing_taken(
    wakes: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> float:
        raise MemoryError

    threads = OtherThreads()
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(module, "_measured_wake_us", fail)
        threads.take(1e6)
    assert threads.take(1e6)


def test_one_thread_wakes_nobody(wakes: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "get_num_threads", lambda: 1)
    assert not OtherThreads().take(1e9)


def test_a_wake_takes_some_time() -> None:
    assert 0 < module._measured_wake_us() < 1e6

"""An endpoint that does not have a block's logs yet says that there are none: they are found all the same, after restarts too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from contracts.bindings.chain import Chain, RawLog
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.events import BatchPosted
from contracts.bindings.log_reader import READ_AGAIN_AFTER_S, READ_AGAIN_AT_START, Cursor, LogReader, Reading

from .chain_game import Arena
from .local_chain import LocalChain
from .test_games import _MODEL, fields


class Reader:
    """A reader with a clock and a history of its own; `hides`: how many logs the endpoint leaves out, from the newest on."""

    def __init__(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arena, self.time, self.hides = arena, 0.0, 0
        self.history: list[Cursor] = []
        true_logs: Callable[..., list[RawLog]] = Chain.logs

        def logs(chain: Chain, *arguments: object, **more: object) -> list[RawLog]:
            found = true_logs(chain, *arguments, **more)
            return found[: len(found) - self.hides] if self.hides else found

        monkeypatch.setattr(Chain, "logs", logs)
        self.start()

    def start(self, span: int = 2_000) -> None:
        self.reader = LogReader(self.arena.contracts, span=span, now=lambda: self.time)

    def readings(self) -> list[Reading]:
        found = []
        while (reading := self.reader.read(self.history)) is not None:
            if reading.rewound_to is not None:
                self.history = [cursor for cursor in self.history if cursor.number <= reading.rewound_to]
            self.history.insert(0, reading.cursor)
            found.append(reading)
            assert len(found) < 100
        return found

    def batches(self) -> int:
        """How many batches new readings tell of."""
        return sum(_batches(reading) for reading in self.readings())


def _batches(reading: Reading) -> int:
    return sum(isinstance(event, BatchPosted) for event in reading.events)


@pytest.fixture(scope="module")
def arena(local_chain: LocalChain, contracts: ProtocolContracts) -> Arena:
    return Arena.prepare(local_chain, contracts, _MODEL)


@pytest.fixture
def reader(
    arena: Arena,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reader]:
    reader = Reader(arena, monkeypatch)
    reader.readings()
    arena.local_chain.mine(READ_AGAIN_AT_START + 1)
    reader.readings()
    reader.time += 1000  # what was read so far is read again, and is as it was
    assert reader.batches() == 0
    reader.time += 1000
    assert reader.batches() == 0
    yield reader


@pytest.mark.parametrize("again", range(len(READ_AGAIN_AFTER_S)))
def test_logs_that_come_late_are_handled(reader: Reader, again: int) -> None:
    before = reader.history[0]
    reader.hides = 99
    reader.arena.post([fields()])
    assert reader.batches() == 0 and reader.history[0].number > before.number
    for wait in READ_AGAIN_AFTER_S[:again]:
        reader.time += wait + 1
        assert reader.batches() == 0
    reader.hides = 0
    assert reader.batches() == 0  # not yet
    reader.time += READ_AGAIN_AFTER_S[again] + 1
    reader.arena.local_chain.mine(2)
    (new, late) = reader.readings()
    assert not new.events and late.again and late.rewound_to == before.number
    assert _batches(late) == 1
    assert late.cursor == reader.history[0] and late.cursor.number == new.cursor.number
    for _ in range(3):
        reader.time += 300
        assert reader.batches() == 0


def test_of_two_logs_the_one_that_came_late_is_missed_by_nobody(reader: Reader) -> None:
    reader.hides = 2  # the newest batch and its lock
    reader.arena.post([fields()])
    reader.arena.post([fields()])
    assert reader.batches() == 1
    reader.hides = 0
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 2


def test_an_endpoint_that_lost_logs_takes_nothing_back(reader: Reader) -> None:
    reader.arena.post([fields()])
    assert reader.batches() == 1
    reader.hides = 1
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 0
    reader.hides = 0
    for _ in range(3):
        reader.time += READ_AGAIN_AFTER_S[1] + 1
        assert reader.batches() == 0  # as many as in the beginning


def test_a_restart_forgets_no_log_that_came_late(reader: Reader) -> None:
    reader.hides = 99
    reader.arena.post([fields()])
    reader.arena.local_chain.mine(READ_AGAIN_AT_START - 4)
    assert reader.batches() == 0
    reader.start()
    assert reader.batches() == 0
    reader.hides = 0
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 1
    reader.time += 300
    assert reader.batches() == 0
    reader.start()
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 0
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 1  # once in every life: what the one before saw is not known
    reader.time += 300
    assert reader.batches() == 0


def test_a_restart_forgets_nothing_of_the_very_first_reading(reader: Reader) -> None:
    """It went from the deployment to a block far in front of the last ones; there is one cursor for all of it."""
    whole = 10**6  # other tests made blocks, too
    reader.history.clear()
    reader.start(whole)
    there = reader.batches()
    reader.history.clear()
    reader.start(whole)
    reader.hides = 10**6
    assert reader.batches() == 0 and len(reader.history) == 1
    reader.arena.local_chain.mine(3)
    assert reader.batches() == 0
    reader.start(whole)
    reader.hides = 0
    assert reader.batches() == 0
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == there > 0


def test_a_reorganisation_between_two_readings_is_one(reader: Reader) -> None:
    chain = reader.arena.contracts.chain
    reader.arena.post([fields()])
    assert reader.batches() == 1
    before, snapshot = reader.history[0], chain.request("evm_snapshot", [])
    reader.arena.post([fields()])
    assert reader.batches() == 1
    chain.request("evm_revert", [snapshot])
    reader.arena.local_chain.mine(3)
    (reading,) = reader.readings()
    assert reading.rewound_to == before.number and not reading.again and not reading.events
    for _ in range(3):
        reader.time += 300
        assert reader.batches() == 0

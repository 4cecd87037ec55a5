"""An endpoint that does not have a block's logs yet says that there are none: they are found, over restarts too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contracts.bindings.chain import Chain, RawLog
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import PastIncomplete
from contracts.bindings.events import BatchPosted
from contracts.bindings.indexer import Indexer
from contracts.bindings.log_reader import (
    READ_AGAIN_AFTER_S,
    READ_AGAIN_AT_START,
    Cursor,
    LogReader,
    Reading,
    ReadRange,
    Unsettled,
    keep,
)

from .chain_game import Arena
from .local_chain import LocalChain
from .test_games import _MODEL, fields


class Reader:
    """A reader with a clock and a store of its own. `hides`: how many logs the endpoint leaves out, from the
    newest on; `hidden`: the blocks whose logs it leaves out; `asked`: the ranges of blocks that it was asked
    for."""

    def __init__(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arena, self.time, self.hides = arena, 0.0, 0
        self.hidden: set[int] = set()
        self.asked: list[tuple[int, int]] = []
        self.history: list[Cursor] = []
        self.kept: list[ReadRange] = []
        true_logs: Callable[..., list[RawLog]] = Chain.logs

        def logs(chain: Chain, addresses: object, first: int, last: int, **more: object) -> list[RawLog]:
            self.asked.append((first, last))
            found = true_logs(chain, addresses, first, last, **more)
            found = [log for log in found if log.block_number not in self.hidden]
            return found[: len(found) - self.hides] if self.hides else found

        monkeypatch.setattr(Chain, "logs", logs)
        self.start()

    def start(self, span: int = 2_000) -> None:
        """Another life, on the same store."""
        self.reader = LogReader(
            self.arena.contracts, span=span, unsettled=lambda: self.kept, now=lambda: self.time
        )

    def readings(self) -> list[Reading]:
        found = []
        while (reading := self.reader.read(self.history)) is not None:
            self.take(reading)
            found.append(reading)
            assert len(found) < 100
        return found

    def take(self, reading: Reading) -> None:
        if reading.rewound_to is not None:
            self.history = [cursor for cursor in self.history if cursor.number <= reading.rewound_to]
        self.history.insert(0, reading.cursor)
        self.kept = keep(self.kept, reading.unsettled)
        ends = [one.end for one in self.kept]
        assert ends == sorted(set(ends)) and ends[-1] == reading.cursor.number
        assert all(one.end <= two.start for one, two in zip(self.kept, self.kept[1:], strict=False))

    def hidden_batch(self) -> int:
        """A batch in a block whose logs the endpoint does not have; its number."""
        head = self.arena.contracts.chain.head().number
        self.hidden = set(range(head + 1, head + 9))
        self.arena.post([fields()])
        newest = self.arena.contracts.chain.head().number
        self.hidden = set(range(head + 1, newest + 1))
        return newest

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
    arena.local_chain.mine()
    head = arena.contracts.chain.head()  # what other tests did is not read
    reader.history, reader.kept = (
        [Cursor(head.number, head.hash)],
        [ReadRange(head.number - 1, head.number, 0)],
    )
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
    lost = reader.history[0].number
    reader.hides = 1
    for _ in range(20):
        reader.time += READ_AGAIN_AFTER_S[1] + 1
        reader.arena.local_chain.mine()
        assert reader.batches() == 0
    assert reader.kept[0].end == lost and len(reader.kept) < 6, "the others are settled"
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
    for _ in range(2):
        reader.start()
        for _ in range(3):
            reader.time += READ_AGAIN_AFTER_S[1] + 1
            assert reader.batches() == 0  # how many there were is known


@pytest.mark.parametrize("again,leap", [(0, 0), pytest.param(1, 0, marks=pytest.mark.long), (0, 10 * 86_400)])
def test_however_many_blocks_and_seconds_before_a_restart(reader: Reader, again: int, leap: int) -> None:
    """The first life has 200 seconds left, with many more blocks than are read again without ranges; or the
    chain leaps in time."""
    reader.hidden_batch()
    before = reader.history[0].number
    for _ in range(5):
        reader.time += 40
        reader.arena.local_chain.mine(30)
        assert reader.batches() == 0
    reader.arena.local_chain.pass_time(leap)
    assert reader.batches() == 0
    reader.start()
    assert reader.batches() == 0
    for wait in READ_AGAIN_AFTER_S[:again]:
        reader.time += wait + 1
        assert reader.batches() == 0
    reader.hidden = set()
    reader.time += READ_AGAIN_AFTER_S[again] + 1
    (late,) = reader.readings()
    assert late.again and late.rewound_to == before and _batches(late) == 1
    reader.start()
    for _ in range(3):
        reader.time += 300
        assert reader.batches() == 0


def test_what_a_store_of_an_earlier_release_kept_no_ranges_of_is_handled_again(reader: Reader) -> None:
    reader.hidden_batch()
    reader.arena.local_chain.mine(READ_AGAIN_AT_START - 8)
    assert reader.batches() == 0
    for kept in ([], [one for one in reader.kept if one.end < reader.history[0].number]):
        reader.kept, reader.hidden = kept, set()
        reader.start()
        assert reader.batches() == 0
        reader.time += READ_AGAIN_AFTER_S[0] + 1
        assert reader.batches() == 1
        reader.time += 300
        assert reader.batches() == 0


def test_a_life_that_was_catching_up_leaves_all_that_it_read(reader: Reader) -> None:
    """Hours of the chain in a moment: they are asked for again a span at a time, and new blocks do not wait for
    that."""
    reader.arena.post([fields()])
    there = _blocks_of_batches(reader)[-1]
    reader.arena.local_chain.mine(400)
    reader.history, reader.kept, reader.hidden = [], [], {there}
    span = 100
    reader.start(span)
    reader.readings()
    reader.start(span)
    assert reader.batches() == 0
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    reader.hidden, reader.asked = set(), []
    polls: list[list[Reading]] = []
    while len(polls) < 100 and (not polls or len(polls[-1]) == 1):
        reader.arena.post([fields()])
        polls.append(found := reader.readings())
        assert _batches(found[0]) == 1
        assert sum(last - first + 1 for first, last in reader.asked) <= 2 * span + 8 or len(found) > 1
        reader.asked = []
    (_, late) = found
    assert len(polls) >= 4 and late.again and late.rewound_to is not None
    assert late.rewound_to < there <= late.rewound_to + span, "only what is behind it is handled again"
    assert len(reader.kept) > 4 and all(one.end - one.start <= span for one in reader.kept)
    for _ in range(40):
        reader.time += 300
        assert reader.batches() == 0


def _blocks_of_batches(reader: Reader) -> list[int]:
    reader.history, reader.kept = [], []
    reader.start()
    events = [event for reading in reader.readings() for event in reading.events]
    return [event.at.block_number for event in events if isinstance(event, BatchPosted)]


def test_a_restart_on_a_chain_with_many_blocks_costs_few_requests(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute and a half of blocks of 0.25 s, in many readings."""
    for _ in range(15):
        reader.arena.local_chain.mine(24)
        reader.time += 6
        reader.readings()
    assert len(reader.kept) >= 15
    requests: list[str] = []
    request: Callable[..., Any] = Chain.request

    def counted(chain: Chain, method: str, parameters: Any) -> Any:
        requests.append(method)
        return request(chain, method, parameters)

    monkeypatch.setattr(Chain, "request", counted)
    reader.start()
    asks = []
    for _ in range(40):
        assert reader.batches() == 0
        asks.append(requests.count("eth_getLogs"))
        assert len(requests) <= 8, requests
        requests.clear()
        reader.time += 8
    assert sum(map(bool, asks)) == len(READ_AGAIN_AFTER_S)
    assert sum(asks) <= 2 * len(READ_AGAIN_AFTER_S), (
        "one for all, or two where the endpoint takes short ranges only"
    )


def test_later_readings_of_ranges_that_were_read_one_after_the_other_are_one_question(reader: Reader) -> None:
    start = reader.time = 15.0 * (reader.time // 15 + 1)
    for second in range(1, 263, 3):
        reader.time = start + second
        if second <= 10:
            reader.arena.local_chain.mine(2)
        if second == 28:
            assert len(reader.asked) >= 4 + 4, "each has been read a second time"
        if second in (28, 238):
            reader.asked.clear()
        assert reader.batches() == 0
        assert second < 28 or second >= 255 or not reader.asked
    assert len(reader.asked) == 1


def test_blocks_that_come_faster_than_they_are_read_keep_nobody(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.hidden_batch()
    assert reader.batches() == 0
    logs: Callable[..., list[RawLog]] = Chain.logs

    def logs_and_a_block(chain: Chain, *arguments: Any) -> list[RawLog]:
        reader.arena.local_chain.mine()
        return logs(chain, *arguments)

    monkeypatch.setattr(Chain, "logs", logs_and_a_block)
    reader.arena.local_chain.mine()
    assert len(reader.readings()) == 1
    reader.hidden = set()
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    (_, late) = reader.readings()
    assert late.again and _batches(late) == 1


def test_what_a_store_could_not_take_over_is_found_again(reader: Reader) -> None:
    """Its disk was full just then."""
    reader.hidden_batch()
    assert reader.batches() == 0
    reader.hidden = set()
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    lost = reader.reader.read(reader.history)
    assert lost is not None and _batches(lost) == 1
    assert reader.batches() == 0
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 1


def test_a_range_that_has_more_is_not_hidden_by_one_that_has_fewer(reader: Reader) -> None:
    """Two nodes behind one name, each without the logs of one block."""
    late = reader.hidden_batch()
    assert reader.batches() == 0
    reader.arena.post([fields()])
    assert reader.batches() == 1
    reader.hidden = set(range(late + 1, reader.history[0].number + 1))
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 1
    reader.hidden = set()
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert reader.batches() == 2


def test_books_are_those_of_a_first_reading(reader: Reader) -> None:
    indexer = Indexer(reader.arena.contracts)
    indexer._reader._now = lambda: reader.time
    indexer.catch_up()
    late = reader.hidden_batch()
    indexer.catch_up()
    reader.arena.post([fields()])
    indexer.catch_up()
    reader.hidden = set(range(late + 1, reader.arena.contracts.chain.head().number + 1))
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    indexer.catch_up()
    first = Indexer(reader.arena.contracts)
    assert set(indexer.books.batches) > set(first.catch_up().batches), "it keeps what it had"
    reader.hidden = set()
    first = Indexer(reader.arena.contracts)
    assert (
        indexer.books.batches == first.catch_up().batches and indexer.books.totals() == first.books.totals()
    )


def test_books_without_the_beginning_of_something_are_refused_until_it_comes(reader: Reader) -> None:
    indexer = Indexer(reader.arena.contracts)
    indexer._reader._now = lambda: reader.time
    head = reader.arena.contracts.chain.head().number
    batch = reader.arena.post([fields()])
    indexer.catch_up()
    reader.hidden = set(range(head + 1, reader.arena.contracts.chain.head().number + 1))
    without = Indexer(reader.arena.contracts)
    without._reader._now = lambda: reader.time
    assert batch.batch_id in indexer.books.batches and batch.batch_id not in without.catch_up().batches
    game = reader.arena.open(batch, 0)
    for _ in range(2):
        with pytest.raises(PastIncomplete, match="in block"):
            without.catch_up()
    reader.hidden = set()
    reader.time += READ_AGAIN_AFTER_S[0] + 1
    assert without.catch_up().games.keys() == indexer.catch_up().games.keys() >= {game}
    assert without.books.totals() == indexer.books.totals()


@pytest.mark.parametrize(
    "change,then",
    [
        (Unsettled(30, (), (ReadRange(30, 40, 1),)), [(0, 10), (10, 20), (20, 30), (30, 40)]),
        (Unsettled(30, (10,), (ReadRange(30, 40, 1),)), [(10, 20), (20, 30), (30, 40)]),
        (Unsettled(10, (), (ReadRange(10, 15, None), ReadRange(15, 22, 3))), [(0, 10), (10, 15), (15, 22)]),
        (Unsettled(20, (10, 20, 30), ()), []),
    ],
)
def test_ranges_that_a_store_keeps(change: Unsettled, then: list[tuple[int, int]]) -> None:
    kept = [ReadRange(0, 10, 0), ReadRange(10, 20, 5), ReadRange(20, 30, 0)]
    assert [(one.start, one.end) for one in keep(kept, change)] == then


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

"""Follows a deployment: raw logs into the cache, events into the books, and running totals for pages.

Everything here follows from events; views are asked for the parameters once, blocks and receipts for the times and
gas of moves that somebody looks at.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from contracts.bindings import events as logs
from contracts.bindings.books import Books
from contracts.bindings.chain import Block, RawLog
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.events import Event
from contracts.bindings.log_reader import Cursor, LogReader
from contracts.bindings.settings import STATE
from contracts.protocol.parameters import ProtocolParameters

from .cache import Cache, FiledLog, Name
from .errors import CacheUnusableError

log = structlog.get_logger("explorer")


@dataclass
class Run:
    """Batches in the order of their numbers, and how many responses they have up to and with each."""

    batches: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, batch_id: int, count: int) -> None:
        self.batches.append(batch_id)
        self.ends.append(self.total + count)

    @property
    def total(self) -> int:
        return self.ends[-1] if self.ends else 0

    def response(self, number: int) -> tuple[int, int]:
        """(batch, index) of response `number`, 0 .. total - 1."""
        place = bisect_right(self.ends, number)
        before = self.ends[place - 1] if place else 0
        return self.batches[place], number - before


@dataclass
class Ledgers:
    """What pages need beside the books."""

    books: Books
    all: Run = field(default_factory=Run)
    of_provider: dict[str, Run] = field(default_factory=lambda: defaultdict(Run))
    of_model: dict[bytes, Run] = field(default_factory=lambda: defaultdict(Run))
    models: dict[bytes, logs.ModelRegistered] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        self.books.apply(event)
        match event:
            case logs.BatchPosted():
                runs = self.all, self.of_provider[event.provider], self.of_model[event.model_id]
                for run in runs:
                    run.add(event.batch_id, event.count)
            case logs.ModelRegistered():
                self.models[event.model_id] = event


class Index:
    """One deployment's. `catch_up` is called by one thread; pages read under `lock`."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        path: Path | None = None,
        *,
        confirmations: int = 0,
        parameters: ProtocolParameters | None = None,
    ) -> None:
        """`path`: the cache, which is gone on from; None keeps it in memory. `parameters`: None asks the chain.

        Raises CacheUnusableError.
        """
        self.contracts, self.chain = contracts, contracts.chain
        self.parameters = contracts.stake.parameters() if parameters is None else parameters
        identity = f"{self.chain.chain_id}:{self.chain.genesis_hash.hex()}:{contracts.ledger.address}"
        self.cache = Cache(path, identity)
        self.lock = threading.RLock()
        self.head: Block | None = None
        self.listener: Callable[[Event], None] | None = None  # told of every new event
        self._reader = LogReader(contracts, confirmations=confirmations, unsettled=self.cache.unsettled)
        self._history = self.cache.cursors()
        self.ledgers = Ledgers(Books(self.parameters))
        self._is_loaded = False

    @property
    def cursor(self) -> Cursor | None:
        """The last block whose events are in."""
        return self._history[0] if self._history else None

    @property
    def books(self) -> Books:
        return self.ledgers.books

    def catch_up(self, most_readings: int | None = None) -> bool:
        """Read on; whether the newest block was reached. Raises what the bindings raise, and sqlite3.Error."""
        self.head = self.chain.head()
        if not self._is_loaded:  # here, because a long past takes seconds
            ledgers = self._read_cache()
            with self.lock:
                self.ledgers, self._is_loaded = ledgers, True
        done = 0
        while most_readings is None or done < most_readings:
            reading = self._reader.read(self._history)
            if reading is None:
                return True
            again_after = reading.rewound_to if reading.again else None
            known = set() if again_after is None else self.cache.places_after(again_after)
            new = [log for log in reading.logs if (log.block_number, log.log_index) not in known]
            at = {
                place: event
                for event in reading.events
                if (place := (event.at.block_number, event.at.log_index)) not in known
            }
            filed = [_filed(log, at.get((log.block_number, log.log_index))) for log in new]
            names = [(event.at.block_number, name) for event in at.values() for name in names_of(event)]
            rewound_to = reading.rewound_to if again_after is None else None
            with self.lock:
                self.cache.store(filed, names, reading.cursor, rewound_to, reading.unsettled)
                self._history = self.cache.cursors()
                if reading.rewound_to is None:
                    self._enter(self.ledgers, reading.events)
                else:
                    self.ledgers = self._read_cache()
            if self.listener is not None:
                for event in at.values():
                    self.listener(event)
            done += 1
        return False

    @classmethod
    def for_a_look(cls, contracts: ProtocolContracts, confirmations: int = 0) -> Index:
        """With the deployment's own cache, or in memory where another program uses that."""
        try:
            return cls(contracts, default_file(contracts), confirmations=confirmations)
        except CacheUnusableError:
            return cls(contracts, None, confirmations=confirmations)

    def events_of_game(self, game: int) -> list[Event]:
        return self.contracts.events.decode(self.cache.logs_of_game(game))

    def events_of_batch(self, batch: int) -> list[Event]:
        return self.contracts.events.decode(self.cache.logs_of_batch(batch))

    def events_of_response(self, batch: int, place: int) -> list[Event]:
        return self.contracts.events.decode(self.cache.logs_of_response(batch, place))

    def events_of_transaction(self, tx: bytes) -> list[Event]:
        return self.contracts.events.decode(self.cache.logs_of_transaction(tx))

    def timestamp(self, event: Event) -> int:
        """When an event happened, seconds; 0 while the chain does not say."""
        at = event.at
        if (known := self.cache.timestamp(at.block_hash)) is not None:
            return known
        try:
            block = self.chain.block(at.block_number)
        except BindingsError:
            return 0
        if block.hash == at.block_hash:
            self.cache.remember_timestamp(at.block_hash, block.timestamp)
        return block.timestamp

    def gas_used(self, event: Event) -> int:
        """Of the whole transaction that an event is in; 0 while the chain does not say."""
        at = event.at
        if (known := self.cache.gas_used(at.transaction_hash, at.block_hash)) is not None:
            return known
        try:
            receipt = self.chain.receipt(at.transaction_hash)
        except BindingsError:
            return 0
        if receipt is None:
            return 0
        self.cache.remember_gas(at.transaction_hash, receipt.block_hash, receipt.gas_used)
        return receipt.gas_used

    def _read_cache(self) -> Ledgers:
        ledgers = Ledgers(Books(self.parameters))
        page = []
        for log in self.cache.logs():
            page.append(log)
            if len(page) == 5_000:
                self._enter(ledgers, self.contracts.events.decode(page))
                page = []
        self._enter(ledgers, self.contracts.events.decode(page))
        return ledgers

    @staticmethod
    def _enter(ledgers: Ledgers, events: Iterable[Event]) -> None:
        for event in events:
            try:
                ledgers.apply(event)
            except KeyError:  # what it follows from came late: then all of it is entered anew
                log.warning("event left out", kind=type(event).__name__, block=event.at.block_number)


def default_file(contracts: ProtocolContracts) -> Path:
    """One cache per chain, told apart by its first block, and deployment."""
    first, ledger = contracts.chain.genesis_hash.hex(), contracts.ledger.address
    return STATE / "explorer" / f"{first[:8]}-{ledger[2:10].lower()}.sqlite"


def _filed(log: RawLog, event: Event | None) -> FiledLog:
    game, batch, place = (getattr(event, name, None) for name in ("game_id", "batch_id", "index"))
    return FiledLog(log, game, batch, place)


def names_of(event: Event) -> list[Name]:
    """The hashes by which an event's subject may be looked for."""
    names: list[Name] = []
    match event:
        case logs.BatchPosted():
            names += [Name(hash_, "batch", event.batch_id) for hash_ in (event.root, event.salt)]
        case logs.ModelRegistered():
            names.append(Name(event.model_id, "model"))
        case logs.GameOpened() | logs.AuditOpened() | logs.ResponseDisputed() | logs.ResponseShown():
            names.append(Name(event.leaf, "response", event.batch_id, event.index))
        case logs.ReceiptClaimed():
            names += [Name(hash_, "receipt", event.batch_id) for hash_ in (event.receipt_id, event.leaf)]
    where = {
        "game": getattr(event, "game_id", None),
        "batch": getattr(event, "batch_id", None),
        "audit": getattr(event, "audit_id", None),
    }
    kind = next((kind for kind, number in where.items() if number is not None), None)
    if kind is not None:
        place = getattr(event, "index", None) if kind == "batch" else None
        names.append(Name(event.at.transaction_hash, f"transaction of {kind}", where[kind], place))
    return names
